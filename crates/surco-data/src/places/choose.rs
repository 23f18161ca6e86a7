//! Drawing inside a stratum.

use rand::RngExt;
use rand_chacha::ChaCha8Rng;

use super::Draw;
use super::frame::Square;

/// Levels of the curve: 2¹⁶ squares a side, enough for squares of 1 km around the earth.
const LEVELS: u32 = 16;

/// `count` of `members`, each with probability `count / members`, in the order of the frame.
pub(super) fn choose(
    squares: &[Square],
    members: &[usize],
    count: usize,
    draw: Draw,
    rng: &mut ChaCha8Rng,
) -> Vec<usize> {
    let mut chosen = match draw {
        Draw::Systematic => systematic(squares, members, count, rng),
        Draw::Simple => simple(members, count, rng),
    };
    chosen.sort_unstable();
    chosen
}

/// Without replacement: the first `count` of a shuffle.
fn simple(members: &[usize], count: usize, rng: &mut ChaCha8Rng) -> Vec<usize> {
    let mut all = members.to_vec();
    for i in 0..count {
        let other = rng.random_range(i..all.len());
        all.swap(i, other);
    }
    all.truncate(count);
    all
}

/// Along a Hilbert curve in steps of `members / count` from a random start; in whole numbers, so that
/// every member's chance is exactly `count / members`.
fn systematic(
    squares: &[Square],
    members: &[usize],
    count: usize,
    rng: &mut ChaCha8Rng,
) -> Vec<usize> {
    let mut curve: Vec<(u64, usize)> =
        members.iter().map(|&i| (along_curve(&squares[i]), i)).collect();
    curve.sort_unstable();
    let (all, count) = (curve.len() as u128, count as u128);
    let start = u128::from(rng.random_range(0..all.max(1) as u64));
    // Step k ends at (start + k · all) / count: whole numbers below `all`, `count` of them.
    (0..count).map(|k| curve[((start + k * all) / count) as usize].1).collect()
}

/// How far along a Hilbert curve over the earth a square lies.
///
/// # Source
/// Warren (2012), *Hacker's Delight*, 2nd edition, chapter 16.
fn along_curve(square: &Square) -> u64 {
    let side = f64::from(1_u32 << LEVELS);
    let part = |value: f64, from: f64, span: f64| ((value - from) / span * side) as u64;
    // Degrees of longitude shrink with latitude; scaled so, both axes are lengths.
    let east = square.lon * libm::cos(square.lat.to_radians());
    let (mut x, mut y) = (part(east, -180.0, 360.0), part(square.lat, -180.0, 360.0));
    let mut distance = 0;
    for level in (0..LEVELS).rev() {
        let s = 1_u64 << level;
        let (right, up) = (u64::from(x & s > 0), u64::from(y & s > 0));
        distance += s * s * ((3 * right) ^ up);
        (x, y) = (x & (s - 1), y & (s - 1));
        // The quarter is entered turned, so that the curve goes on where it left the one before.
        if up == 0 {
            if right == 1 {
                (x, y) = (s - 1 - x, s - 1 - y);
            }
            (x, y) = (y, x);
        }
    }
    distance
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::SeedableRng;

    fn strip(squares: usize) -> Vec<Square> {
        let square = |i: usize| Square {
            row: 0,
            col: i as i64,
            lon: -71.0 + 0.014 * (i % 40) as f64,
            lat: -33.0 + 0.012 * (i / 40) as f64,
        };
        (0..squares).map(square).collect()
    }

    #[test]
    fn every_square_is_drawn_as_often_as_its_probability_says() {
        let squares = strip(70);
        let members: Vec<usize> = (0..70).collect();
        for draw in [Draw::Systematic, Draw::Simple] {
            let mut drawn = vec![0_u32; 70];
            for seed in 0..7000 {
                let mut rng = ChaCha8Rng::seed_from_u64(seed);
                let chosen = choose(&squares, &members, 20, draw, &mut rng);
                assert!(chosen.len() == 20 && chosen.windows(2).all(|w| w[0] < w[1]));
                chosen.into_iter().for_each(|i| drawn[i] += 1);
            }
            // Binomial of 7000 draws at 2/7: mean 2000, standard deviation 38.
            assert!(drawn.iter().all(|&n| (1810..=2190).contains(&n)), "{draw:?}: {drawn:?}");
        }
    }

    #[test]
    fn neighbours_on_the_curve_are_neighbours_on_the_ground() {
        let squares = strip(1600);
        let mut order: Vec<(u64, usize)> =
            squares.iter().enumerate().map(|(i, s)| (along_curve(s), i)).collect();
        order.sort_unstable();
        let apart = |w: &[(u64, usize)]| {
            let (a, b) = (&squares[w[0].1], &squares[w[1].1]);
            (a.lon - b.lon).hypot(a.lat - b.lat)
        };
        let mean = order.windows(2).map(apart).sum::<f64>() / 1599.0;
        assert!(mean < 0.03, "two squares at most: {mean}");
    }

    #[test]
    fn a_systematic_draw_leaves_no_corner_empty() {
        let squares = strip(1600);
        let members: Vec<usize> = (0..1600).collect();
        let chosen =
            choose(&squares, &members, 64, Draw::Systematic, &mut ChaCha8Rng::seed_from_u64(3));
        let mut quarters = [0; 16];
        chosen.iter().for_each(|i| quarters[i / 40 / 10 * 4 + i % 40 / 10] += 1);
        assert!(quarters.iter().all(|n| (1..=8).contains(n)), "{quarters:?}");
    }
}
