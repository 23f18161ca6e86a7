//! The ranks as files that other programs and people read.

use super::{Duel, RankTable};
use crate::report::{
    Drawing, DrawnFigure, PlainTable, RankAxis, Report, ReportError, drawing_svg,
    markdown_protocol, markdown_tables, quoted, render_report,
};

/// One line a task and method.
#[must_use]
pub fn csv(table: &RankTable) -> String {
    let mut text = String::from("set,k,method,score,rank,seeds\n");
    for task in &table.tasks {
        for (m, method) in table.methods.iter().enumerate() {
            let (set, name) = (quoted(&task.set), quoted(&method.method));
            text += &format!(
                "{set},{},{name},{:.6},{},{}\n",
                task.k, task.scores[m], task.ranks[m], task.seeds
            );
        }
    }
    text
}

/// The tables in Markdown.
#[must_use]
pub fn markdown(table: &RankTable) -> String {
    "# Average ranks\n".to_owned()
        + &markdown_tables(&tables(table))
        + &markdown_protocol(&table.protocol)
}

/// The same as a page that loads nothing from elsewhere.
///
/// # Errors
/// [`ReportError::Template`] if template and data do not fit.
pub fn html(table: &RankTable) -> Result<String, ReportError> {
    let sets: std::collections::BTreeSet<&str> =
        table.tasks.iter().map(|t| t.set.as_str()).collect();
    let sets: Vec<&str> = sets.into_iter().collect();
    let caption = format!(
        "Average ranks over {} tasks, best at the left; methods under one bar are less than the critical difference of {:.2} apart and cannot be told apart at 5 % (Nemenyi).",
        table.tasks.len(),
        table.critical_difference
    );
    render_report(&Report {
        title: "Average ranks".into(),
        summary: format!(
            "{} methods over {} tasks of {} sets: {}.",
            table.methods.len(),
            table.tasks.len(),
            sets.len(),
            sets.join(", ")
        ),
        drawings: vec![DrawnFigure { drawing: drawing(table), caption }],
        tables: tables(table),
        assumed: table.protocol.clone(),
        ..Report::default()
    })
}

/// The critical-difference diagram as an SVG file of its own.
///
/// # Source
/// Demšar 2006, figure 1.
#[must_use]
pub fn diagram_svg(table: &RankTable) -> String {
    drawing_svg(&drawing(table))
}

fn drawing(table: &RankTable) -> Drawing {
    let average = |place: usize| table.methods[place].average_rank;
    Drawing::Ranks(RankAxis {
        marks: table.methods.iter().map(|m| (m.method.clone(), m.average_rank)).collect(),
        critical_difference: table.critical_difference,
        bars: table.alike.iter().map(|&(first, last)| [average(first), average(last)]).collect(),
    })
}

fn tables(table: &RankTable) -> Vec<PlainTable> {
    let mut tables = vec![ranks(table), duels(table), scores(table)];
    if !table.left_out.is_empty() {
        let rows = table.left_out.iter().map(|l| vec![l.method.clone(), l.lacks.join("; ")]);
        tables.push(PlainTable {
            title: "Not ranked".into(),
            caption: "Methods that some task lacks.".into(),
            head: vec!["method".into(), "lacking in".into()],
            rows: rows.collect(),
            said: Vec::new(),
        });
    }
    tables
}

fn ranks(table: &RankTable) -> PlainTable {
    let ks = table.methods.first().map_or(&[][..], |m| &m.by_k);
    let head = ["method".into(), "all".into()].into_iter();
    let rows = table.methods.iter().map(|m| {
        let all = [m.method.clone(), format!("{:.2}", m.average_rank)].into_iter();
        all.chain(m.by_k.iter().map(|(_, rank)| format!("{rank:.2}"))).collect()
    });
    let best = &table.methods[0];
    let near: Vec<&str> = table.methods[1..]
        .iter()
        .filter(|m| m.average_rank - best.average_rank < table.critical_difference)
        .map(|m| m.method.as_str())
        .collect();
    let apart = if near.is_empty() { "nobody".into() } else { near.join(", ") };
    let test = &table.friedman;
    let f = test.f.map_or(String::new(), |f| format!(", F = {f:.2}, p = {:.1e}", test.p_f));
    PlainTable {
        title: "Ranks".into(),
        caption: "Average rank, over all tasks and by labels per class; 1 is the best.".into(),
        head: head.chain(ks.iter().map(|(k, _)| format!("k={k}"))).collect(),
        rows: rows.collect(),
        said: vec![
            format!("Friedman: χ² = {:.2}, p = {:.1e}{f}.", test.chi2, test.p),
            format!(
                "Within the critical difference of {:.2} of {}: {apart}.",
                table.critical_difference, best.method
            ),
        ],
    }
}

fn duels(table: &RankTable) -> PlainTable {
    let row = |duel: &Duel| {
        vec![
            duel.against.clone(),
            format!("{:+.1}", 100.0 * duel.mean),
            duel.ahead.to_string(),
            format!("{} / {} / {}", duel.won, duel.tied, duel.lost),
            format!("{:.1e}", duel.p),
            format!("{:.1e}", duel.p_holm),
        ]
    };
    let names = |holds: &dyn Fn(&Duel) -> bool| {
        let named = table.duels.iter().filter(|d| d.p_holm < 0.05 && holds(d));
        let named: Vec<&str> = named.map(|d| d.against.as_str()).collect();
        if named.is_empty() { "nobody".to_string() } else { named.join(", ") }
    };
    let ours = &table.ours;
    let head = ["against", "points", "ahead on", "won / tied / lost", "p", "p, Holm"];
    PlainTable {
        title: format!("{ours} against each"),
        caption: format!(
            "Mean difference in points of {}, tasks of {} with the higher mean, tasks whose interval lies off 0, and Wilcoxon's test.",
            table.metric,
            table.tasks.len()
        ),
        head: head.map(Into::into).to_vec(),
        rows: table.duels.iter().map(row).collect(),
        said: vec![
            format!("{ours} is better at 5 %, corrected, than {}.", names(&|d| d.mean > 0.0)),
            format!("{ours} is worse at 5 %, corrected, than {}.", names(&|d| d.mean < 0.0)),
        ],
    }
}

fn scores(table: &RankTable) -> PlainTable {
    let head = ["task".to_string(), "seeds".into()].into_iter();
    let rows = table.tasks.iter().map(|task| {
        let name = [format!("{}, k = {}", task.set, task.k), task.seeds.to_string()];
        let cell = |(score, rank): (&f64, &f64)| format!("{:.1} ({rank})", 100.0 * score);
        name.into_iter().chain(task.scores.iter().zip(&task.ranks).map(cell)).collect()
    });
    PlainTable {
        title: "Tasks".into(),
        caption: format!("Mean {} in % and rank.", table.metric),
        head: head.chain(table.methods.iter().map(|m| m.method.clone())).collect(),
        rows: rows.collect(),
        said: Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::super::{rank_methods, tests::results};
    use super::*;

    #[test]
    fn the_files_say_the_same() {
        let table = rank_methods(&results(), "surco").unwrap();
        let text = markdown(&table);
        let ranks: String = text.lines().skip(2).take(24).map(|l| l.to_string() + "\n").collect();
        insta::assert_snapshot!(ranks, @r"
        ## Ranks

        Average rank, over all tasks and by labels per class; 1 is the best.

        | method | all | k=1 | k=5 |
        |---|---|---|---|
        | surco | 1.17 | 1.33 | 1.00 |
        | forest | 1.83 | 1.67 | 2.00 |
        | weak | 3.00 | 3.00 | 3.00 |

        - Friedman: χ² = 10.33, p = 5.7e-3, F = 31.00, p = 5.2e-5.
        - Within the critical difference of 1.35 of surco: forest.

        ## surco against each

        Mean difference in points of balanced accuracy, tasks of 6 with the higher mean, tasks whose interval lies off 0, and Wilcoxon's test.

        | against | points | ahead on | won / tied / lost | p | p, Holm |
        |---|---|---|---|---|---|
        | forest | +7.2 | 5 | 5 / 0 / 1 | 6.2e-2 | 6.2e-2 |
        | weak | +27.2 | 6 | 6 / 0 / 0 | 3.1e-2 | 6.2e-2 |

        - surco is better at 5 %, corrected, than nobody.
        - surco is worse at 5 %, corrected, than nobody.
        ");
        insta::assert_snapshot!(csv(&table).lines().nth(1).unwrap_or_default(), @"a,1,surco,0.600000,1,5");
        let page = html(&table).unwrap();
        assert!(page.contains("<svg viewBox") && page.contains("critical difference of 1.35"));
        assert!(diagram_svg(&table).starts_with("<svg xmlns="));
    }
}
