//! Heads: what a learner by inner steps is asked of a task's classes, and how its answers become one.
//!
//! One head may tell all classes apart at once; or each class has a head of its own, against all others; or each pair of classes has
//! one. Every head learns with its own copy of the weights that move.
//!
//! # Source
//! Rußwurm, Wang, Kellenberger, Roscher and Tuia 2024, *Meta-learning to address diverse Earth observation problems across
//! resolutions* (Commun. Earth Environ. 5:37), *one-versus-all* and *one-versus-one*; sums of what pairs say: Hastie and Tibshirani
//! 1998, *Classification by pairwise coupling*, section 2.2.

use ndarray::{Array2, Axis};
use serde::{Deserialize, Serialize};

/// Which classes a head tells apart.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Heads {
    /// All of them.
    #[default]
    Together,
    /// One class and all others, for each class.
    OneAgainstAll,
    /// Two classes, for each pair.
    Pairs,
}

/// What one head is asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Question {
    /// Answers it may give.
    pub(super) answers: usize,
    /// The right answer for each class of the task; none where it is not asked about that class.
    right: Vec<Option<i32>>,
}

/// Which of some examples a question is about, and the right answer for each of those.
pub(super) struct Meant {
    pub(super) examples: Vec<usize>,
    pub(super) right: Vec<i32>,
}

impl Question {
    /// The examples of these classes that it is about.
    pub(super) fn meant(&self, classes: &[usize]) -> Meant {
        let about = classes.iter().enumerate();
        let (examples, right) =
            about.filter_map(|(i, &class)| Some((i, self.right[class]?))).unzip();
        Meant { examples, right }
    }
}

impl Heads {
    /// What a card calls them, if they are not the usual.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Together => "all classes together",
            Self::OneAgainstAll => "one class against all",
            Self::Pairs => "pairs of classes",
        }
    }

    /// The questions over so many classes.
    pub(super) fn questions(self, classes: usize) -> Vec<Question> {
        let question = |answers, right: &dyn Fn(usize) -> Option<i32>| Question {
            answers,
            right: (0..classes).map(right).collect(),
        };
        match self {
            Self::Together => vec![question(classes, &|class| Some(class as i32))],
            Self::OneAgainstAll => {
                let of = |one: usize| question(2, &|class| Some(i32::from(class == one)));
                (0..classes).map(of).collect()
            }
            Self::Pairs => {
                let of = |(a, b): (usize, usize)| {
                    question(2, &|class| match class {
                        c if c == a => Some(0),
                        c if c == b => Some(1),
                        _ => None,
                    })
                };
                pairs(classes).map(of).collect()
            }
        }
    }

    /// Scores `[example, class]`, the highest the answer, from what each question was answered: probabilities
    /// `[example, answer]`.
    pub(super) fn scores(self, said: &[Array2<f32>], classes: usize) -> Array2<f32> {
        let examples = said.first().map_or(0, Array2::nrows);
        let mut scores = Array2::zeros((examples, classes));
        let mut add = |class: usize, said: &Array2<f32>, answer: usize| {
            let mut column = scores.index_axis_mut(Axis(1), class);
            column += &said.index_axis(Axis(1), answer);
        };
        match self {
            Self::Together => (0..classes).for_each(|class| add(class, &said[0], class)),
            Self::OneAgainstAll => (0..classes).for_each(|class| add(class, &said[class], 1)),
            Self::Pairs => {
                for ((a, b), said) in pairs(classes).zip(said) {
                    add(a, said, 0);
                    add(b, said, 1);
                }
            }
        }
        scores
    }
}

/// All pairs of classes, the lower first.
fn pairs(classes: usize) -> impl Iterator<Item = (usize, usize)> {
    (0..classes).flat_map(move |a| (a + 1..classes).map(move |b| (a, b)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use ndarray::array;

    #[test]
    fn questions_are_about_the_classes_they_tell_apart() {
        let classes = [2, 0, 1, 2];
        let asked = |heads: Heads| -> Vec<(usize, Vec<usize>, Vec<i32>)> {
            let meant = |question: &Question| {
                let Meant { examples, right } = question.meant(&classes);
                (question.answers, examples, right)
            };
            heads.questions(3).iter().map(meant).collect()
        };
        let all = vec![0, 1, 2, 3];
        assert_eq!(asked(Heads::Together), [(3, all.clone(), vec![2, 0, 1, 2])]);
        let one = |right: [i32; 4]| (2, all.clone(), right.to_vec());
        assert_eq!(
            asked(Heads::OneAgainstAll),
            [one([0, 1, 0, 0]), one([0, 0, 1, 0]), one([1, 0, 0, 1])]
        );
        assert_eq!(
            asked(Heads::Pairs),
            [
                (2, vec![1, 2], vec![0, 1]),
                (2, vec![0, 1, 3], vec![1, 0, 1]),
                (2, vec![0, 2, 3], vec![1, 0, 1])
            ]
        );
    }

    /// By hand, one example: against all others the second class is likeliest; of the pairs 0-1, 0-2 and 1-2 the classes collect
    /// 0.4 + 0.7, 0.6 + 0.9 and 0.3 + 0.1.
    #[test]
    fn answers_become_one_score_a_class() {
        let said = [array![[0.8_f32, 0.2]], array![[0.3, 0.7]], array![[0.5, 0.5]]];
        assert_eq!(Heads::OneAgainstAll.scores(&said, 3), array![[0.2, 0.7, 0.5]]);
        let said = [array![[0.4_f32, 0.6]], array![[0.7, 0.3]], array![[0.9, 0.1]]];
        let got = Heads::Pairs.scores(&said, 3);
        assert!((got - array![[1.1, 1.5, 0.4]]).iter().all(|off| off.abs() < 1e-6));
        let said = [array![[0.1_f32, 0.9]]];
        assert_eq!(Heads::Together.scores(&said, 2), said[0]);
    }
}
