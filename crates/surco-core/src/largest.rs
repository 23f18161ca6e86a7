//! The place of the largest value: the class that is likeliest, say.

/// Place of the largest value, the first of equals; 0 where there is none, or none that is a number.
pub fn largest<T: PartialOrd>(values: impl IntoIterator<Item = T>) -> usize {
    let mut best: Option<(usize, T)> = None;
    for (place, value) in values.into_iter().enumerate() {
        let is_number = value.partial_cmp(&value).is_some();
        if is_number && best.as_ref().is_none_or(|(_, most)| value > *most) {
            best = Some((place, value));
        }
    }
    best.map_or(0, |(place, _)| place)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_of_equals_is_the_largest_and_what_is_no_number_never() {
        assert_eq!(largest([1.0, 3.0, 3.0, 2.0]), 1);
        assert_eq!(largest([f32::NAN, -2.0, -1.0]), 2);
        assert_eq!((largest::<f32>([]), largest([f64::NAN])), (0, 0));
    }
}
