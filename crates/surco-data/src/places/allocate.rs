//! How many places each stratum gets.

use super::Allocation;

/// Deals `places` out to strata of these sizes: at least one each if there are enough, never more than a
/// stratum has, all of them dealt.
///
/// What a full stratum cannot take goes to the others in the same proportion. Fractions go to the largest
/// remainders, equal ones to the larger stratum, then to the first.
pub(super) fn allocate(sizes: &[usize], places: usize, how: Allocation) -> Vec<usize> {
    let least = usize::from(places >= sizes.len());
    let weight = |&size: &usize| match how {
        Allocation::Equal => 1.0,
        Allocation::Proportional => size as f64,
        Allocation::SquareRoot => (size as f64).sqrt(),
    };
    let weights: Vec<f64> = sizes.iter().map(weight).collect();
    let shares = |scale: f64| -> Vec<f64> {
        let share = |(w, &size): (&f64, &usize)| (w * scale).clamp(least as f64, size as f64);
        weights.iter().zip(sizes).map(share).collect()
    };
    // The sum of the shares grows with the scale; halving finds the scale that deals all places out.
    let (mut low, mut high) = (0.0, places as f64);
    for _ in 0..200 {
        let middle = f64::midpoint(low, high);
        if shares(middle).iter().sum::<f64>() < places as f64 {
            low = middle
        } else {
            high = middle
        }
    }
    let shares = shares(high);
    // The scale is right to the last bits; a share that close under a whole number is that number.
    let mut counts: Vec<usize> = shares.iter().map(|s| (s + 1e-9).floor() as usize).collect();
    let mut order: Vec<usize> = (0..sizes.len()).filter(|&i| counts[i] < sizes[i]).collect();
    order.sort_by(|&a, &b| {
        let rest = |i: usize| shares[i] - counts[i] as f64;
        // Remainders that differ by rounding alone are equal.
        let equal = (rest(a) - rest(b)).abs() < 1e-9;
        let by_rest = if equal { std::cmp::Ordering::Equal } else { rest(b).total_cmp(&rest(a)) };
        by_rest.then(sizes[b].cmp(&sizes[a])).then(a.cmp(&b))
    });
    let left = places.saturating_sub(counts.iter().sum());
    order.into_iter().take(left).for_each(|i| counts[i] += 1);
    counts
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Worked by hand. The last stratum has one square only and gives it; 99 places over the roots 30, 20
    /// and 10 are 49.5, 33 and 16.5, and of two equal halves the larger stratum's wins. With 25 squares in
    /// the last, 100 places over 65 parts are 46.15, 30.77, 15.38 and 7.69: the two left over go to the
    /// remainders 0.77 and 0.69.
    #[test]
    fn the_square_root_of_four_strata_by_hand() {
        let sizes = [900, 400, 100, 1];
        assert_eq!(allocate(&sizes, 100, Allocation::SquareRoot), [50, 33, 16, 1]);
        assert_eq!(allocate(&[900, 400, 100, 25], 100, Allocation::SquareRoot), [46, 31, 15, 8]);
    }

    #[test]
    fn equal_covers_the_small_and_proportional_follows_the_area() {
        let sizes = [9_900, 100];
        assert_eq!(allocate(&sizes, 60, Allocation::Equal), [30, 30]);
        assert_eq!(allocate(&sizes, 60, Allocation::Proportional), [59, 1]);
        assert_eq!(allocate(&sizes, 400, Allocation::Equal), [300, 100], "no more than it has");
        assert_eq!(allocate(&[7, 3, 9], 2, Allocation::Proportional), [1, 0, 1], "too few for all");
        assert_eq!(allocate(&[5, 5], 10, Allocation::Equal), [5, 5]);
    }

    proptest! {
        #[test]
        fn all_are_dealt_within_bounds(
            sizes in proptest::collection::vec(1_usize..5000, 1..40),
            part in 0.0..=1.0_f64,
            how in prop_oneof![
                Just(Allocation::Equal), Just(Allocation::Proportional), Just(Allocation::SquareRoot)
            ],
        ) {
            let frame: usize = sizes.iter().sum();
            let places = ((frame as f64 * part) as usize).max(1);
            let counts = allocate(&sizes, places, how);
            prop_assert_eq!(counts.iter().sum::<usize>(), places);
            for (count, size) in counts.iter().zip(&sizes) {
                prop_assert!(count <= size);
                prop_assert!(places < sizes.len() || *count >= 1);
            }
        }
    }
}
