use super::*;

#[derive(Deserialize)]
struct Recorded {
    confusion: Vec<Vec<u64>>,
    mapped_ha: Vec<f64>,
    area_ha: Vec<f64>,
    se_ha: Vec<f64>,
    users: Vec<f64>,
    users_se: Vec<f64>,
    producers: Vec<f64>,
    producers_se: Vec<f64>,
    overall: f64,
    overall_se: f64,
}

fn close(got: f64, want: f64) {
    assert!((got - want).abs() <= 1e-12 * want.abs(), "{got} is not {want}");
}

/// Table 8 of the paper, recomputed by `fixtures/olofsson2014.py`, whose figures round to those printed.
#[test]
fn table_8_of_the_paper_is_reproduced() {
    let want: Recorded =
        serde_json::from_str(include_str!("../../fixtures/olofsson2014.json")).unwrap();
    let got = estimate_areas(&want.confusion, &want.mapped_ha).unwrap();
    close(got.overall.value, want.overall);
    close(got.overall.se, want.overall_se);
    close(got.total_ha, 900_000.0);
    for (j, class) in got.classes.iter().enumerate() {
        close(class.area_ha.value, want.area_ha[j]);
        close(class.area_ha.se, want.se_ha[j]);
        close(class.users.unwrap().value, want.users[j]);
        close(class.users.unwrap().se, want.users_se[j]);
        close(class.producers.unwrap().value, want.producers[j]);
        close(class.producers.unwrap().se, want.producers_se[j]);
    }
    // As printed in the paper: 21,158 ± 6,158 ha of deforestation, 11,686 ± 3,756 ha of forest gain.
    for (class, (area, half)) in got.classes.iter().zip([(21_158.0, 6_158.0), (11_686.0, 3_756.0)])
    {
        assert!((class.area_ha.value - area).abs() < 0.5);
        assert!((class.area_ha.half_width - half).abs() < 0.5);
    }
    assert_eq!(got.classes[0].reliability, Reliability::Reliable);
    assert_eq!(got.classes[1].reliability, Reliability::UseWithCare);
    assert!(got.single_sample.is_empty());
}

/// By hand: stratum 1 (10 ha) has one sample, so its variance is taken as 10² / 4 = 25 for both classes.
#[test]
fn a_single_sample_widens_the_interval_and_is_flagged() {
    let got = estimate_areas(&[vec![10, 0], vec![0, 1]], &[90.0, 10.0]).unwrap();
    assert_eq!(got.single_sample, [1]);
    for class in &got.classes {
        close(class.area_ha.se, 5.0);
    }
    assert_eq!(got.classes[0].reliability, Reliability::Reliable, "5 of 90 ha, even at worst");
    assert_eq!(got.classes[1].reliability, Reliability::Unreliable);
    assert!(serde_json::to_string(&got).unwrap().find("null").is_none());
}

#[test]
fn mapped_land_without_samples_is_refused_and_empty_classes_are_not() {
    assert_eq!(
        estimate_areas(&[vec![5, 0], vec![0, 0]], &[90.0, 10.0]).unwrap_err(),
        AreaError::Unsampled { class: 1, area_ha: 10.0 }
    );
    let got = estimate_areas(&[vec![5, 0], vec![0, 0]], &[90.0, 0.0]).unwrap();
    let empty = &got.classes[1];
    assert_eq!((empty.area_ha.value, empty.coefficient_of_variation), (0.0, None));
    assert_eq!((empty.users, empty.producers), (None, None));
    assert_eq!(empty.reliability, Reliability::Unreliable, "never seen is not proof of absence");
}

#[test]
fn what_is_no_matrix_is_refused() {
    assert!(matches!(estimate_areas(&[vec![1, 2]], &[1.0]), Err(AreaError::Shape { .. })));
    assert!(matches!(estimate_areas(&[vec![1]], &[1.0, 2.0]), Err(AreaError::Shape { .. })));
    assert!(matches!(estimate_areas(&[vec![1]], &[f64::NAN]), Err(AreaError::MappedArea { .. })));
    assert_eq!(estimate_areas(&[vec![1]], &[0.0]).unwrap_err(), AreaError::NoArea);
    assert_eq!(estimate_areas(&[], &[]).unwrap_err(), AreaError::NoArea);
}

/// The estimator is unbiased: over many samples of one map its mean is the truth, the pixel count is
/// not, and close to 95 % of the intervals hold the truth.
#[test]
fn intervals_hold_the_truth_as_often_as_they_say() {
    let truth = |i: usize| usize::from(i % 10 < 3); // class 1 on 30 % of the land
    let mapped: Vec<u8> = (0..40_000_usize)
        .map(|i| {
            let wrong = (i / 10).wrapping_mul(2_654_435_761) % 100 < 15;
            (if wrong { 1 - truth(i) } else { truth(i) }) as u8 + 1
        })
        .collect();
    let areas: Vec<f64> =
        [1, 2].map(|code| mapped.iter().filter(|&&c| c == code).count() as f64).to_vec();
    let (mut held, mut sum, runs) = (0, 0.0, 400);
    for seed in 0..runs {
        let design = SampleDesign { total: 300, floor: 50, seed };
        let sample = stratified_sample(&mapped, 200, &design).unwrap();
        let mut counts = vec![vec![0; 2]; 2];
        for point in &sample.points {
            counts[usize::from(point.code) - 1][truth(point.row * 200 + point.column)] += 1;
        }
        let area = estimate_areas(&counts, &areas).unwrap().classes[1].area_ha;
        held += u32::from((area.value - 12_000.0).abs() <= area.half_width);
        sum += area.value;
    }
    let mean = sum / runs as f64;
    assert!((mean / 12_000.0 - 1.0).abs() < 0.01, "{mean}");
    assert!((areas[1] / 12_000.0 - 1.0).abs() > 0.1, "the pixel count is biased: {}", areas[1]);
    let share = f64::from(held) / runs as f64;
    assert!((0.92..=0.98).contains(&share), "{share} of the intervals hold the truth");
}
