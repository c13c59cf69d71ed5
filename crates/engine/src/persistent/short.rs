use std::ops::Deref;
use std::sync::Arc;

/// How many numbers are held in place.
const FEW: usize = 7;

/// A list of numbers that is mostly short, and then lies where it is named: who looks it up need not go further.
#[derive(Debug, Clone)]
pub(crate) enum Short {
    Few { length: u8, numbers: [u32; FEW] },
    Many(Arc<[u32]>),
}

impl Default for Short {
    fn default() -> Self {
        Self::Few { length: 0, numbers: [0; FEW] }
    }
}

impl Deref for Short {
    type Target = [u32];

    fn deref(&self) -> &[u32] {
        match self {
            Self::Few { length, numbers } => &numbers[..usize::from(*length)],
            Self::Many(numbers) => numbers,
        }
    }
}

impl From<&[u32]> for Short {
    fn from(list: &[u32]) -> Self {
        let mut numbers = [0; FEW];
        match numbers.get_mut(..list.len()) {
            Some(taken) => {
                taken.copy_from_slice(list);
                Self::Few { length: list.len() as u8, numbers }
            }
            None => Self::Many(list.into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_the_list_it_was_made_of() {
        for length in 0..3 * FEW as u32 {
            let list: Vec<u32> = (0..length).collect();
            assert_eq!(*Short::from(&*list), *list);
        }
    }
}
