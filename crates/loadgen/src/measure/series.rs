use crate::Failure;

/// One figure, once for each round of a run.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Series(pub Vec<f64>);

impl Series {
    /// The middle one; of two in the middle, their mean. NaN where there are none.
    pub fn median(&self) -> f64 {
        let mut sorted = self.0.clone();
        sorted.sort_by(f64::total_cmp);
        match sorted.len() {
            0 => f64::NAN,
            n if n % 2 == 1 => sorted[n / 2],
            n => f64::midpoint(sorted[n / 2 - 1], sorted[n / 2]),
        }
    }

    pub fn mean(&self) -> f64 {
        self.0.iter().sum::<f64>() / self.0.len() as f64
    }

    pub fn least(&self) -> f64 {
        self.0.iter().copied().fold(f64::INFINITY, f64::min)
    }

    pub fn most(&self) -> f64 {
        self.0.iter().copied().fold(f64::NEG_INFINITY, f64::max)
    }

    /// Round by round, for what disturbs the machine disturbs the two of one round alike.
    pub fn with(&self, other: &Self, both: impl Fn(f64, f64) -> f64) -> Self {
        Self(self.0.iter().zip(&other.0).map(|(one, other)| both(*one, *other)).collect())
    }

    pub fn over(&self, other: &Self) -> Self {
        self.with(other, |one, other| one / other)
    }

    pub fn map(&self, each: impl Fn(f64) -> f64) -> Self {
        Self(self.0.iter().map(|one| each(*one)).collect())
    }
}

/// Measures each of `N` things once a round, in an order that moves on by one each round, so that none is always the first.
/// `measure` gives `M` figures of the thing whose number it is told.
pub fn rounds<const N: usize, const M: usize>(
    rounds: usize,
    measure: impl FnMut(usize) -> Result<[f64; M], Failure>,
) -> Result<[[Series; M]; N], Failure> {
    let mut all = each_in_turn(rounds, N, measure)?.into_iter();
    Ok(std::array::from_fn(|_| all.next().unwrap_or_else(|| std::array::from_fn(|_| Series::default()))))
}

/// The same of as many things as there happen to be.
pub fn each_in_turn<const M: usize>(
    rounds: usize,
    things: usize,
    mut measure: impl FnMut(usize) -> Result<[f64; M], Failure>,
) -> Result<Vec<[Series; M]>, Failure> {
    let mut all: Vec<[Series; M]> = (0..things).map(|_| std::array::from_fn(|_| Series::default())).collect();
    for round in 0..rounds {
        for turn in 0..things {
            let thing = (round + turn) % things;
            for (series, figure) in all[thing].iter_mut().zip(measure(thing)?) {
                series.0.push(figure);
            }
        }
    }
    Ok(all)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_the_middle_and_not_the_mean() {
        assert_eq!(Series(vec![9.0, 1.0, 2.0]).median(), 2.0);
        assert_eq!(Series(vec![4.0, 1.0, 2.0, 100.0]).median(), 3.0);
        assert!(Series::default().median().is_nan());
    }

    #[test]
    fn ratios_are_taken_within_a_round() {
        let (fast, slow) = (Series(vec![10.0, 100.0, 20.0]), Series(vec![5.0, 50.0, 10.0]));
        let ratio = slow.over(&fast);
        assert_eq!((ratio.median(), ratio.least(), ratio.most()), (0.5, 0.5, 0.5));
    }

    #[test]
    fn nobody_is_first_in_every_round() {
        let mut order = Vec::new();
        let measured: [[Series; 1]; 3] = rounds(3, |thing| {
            order.push(thing);
            Ok([thing as f64])
        })
        .unwrap();
        assert_eq!(order, [0, 1, 2, 1, 2, 0, 2, 0, 1]);
        assert_eq!(measured[2][0].0, [2.0, 2.0, 2.0]);
    }
}
