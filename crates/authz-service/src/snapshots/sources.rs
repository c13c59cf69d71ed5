use std::{collections::HashMap, sync::Arc};

use engine::BindingId;

use crate::model::RoleSource;

/// Why allow bindings at the organization exist, where it is not by hand. In parts that are shared from one revision to the next, so that a
/// change costs one part.
#[derive(Debug, Clone)]
pub struct Sources(Vec<Arc<HashMap<BindingId, RoleSource>>>);

const PARTS: usize = 128;

/// By the id's last bits, which are random.
fn part(binding: BindingId) -> usize {
    usize::from(binding.0.as_bytes()[15]) % PARTS
}

impl Sources {
    pub fn new(all: impl IntoIterator<Item = (BindingId, RoleSource)>) -> Self {
        let mut parts = vec![HashMap::new(); PARTS];
        for (binding, source) in all.into_iter().filter(|(_, source)| *source != RoleSource::Direct) {
            parts[part(binding)].insert(binding, source);
        }
        Self(parts.into_iter().map(Arc::new).collect())
    }

    pub fn of(&self, binding: BindingId) -> RoleSource {
        self.0[part(binding)].get(&binding).copied().unwrap_or(RoleSource::Direct)
    }

    /// None: the binding is no more, or is none that has a source.
    pub fn set(&mut self, binding: BindingId, source: Option<RoleSource>) {
        let part = &mut self.0[part(binding)];
        match source.filter(|source| *source != RoleSource::Direct) {
            Some(source) => {
                Arc::make_mut(part).insert(binding, source);
            }
            None if part.contains_key(&binding) => {
                Arc::make_mut(part).remove(&binding);
            }
            None => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    #[test]
    fn a_source_is_set_and_taken_away_and_the_earlier_ones_stay_as_they_were() {
        let id = |n: u128| BindingId(Uuid::from_u128(n));
        let before = Sources::new([(id(1), RoleSource::Invitation), (id(2), RoleSource::Direct)]);
        let mut after = before.clone();
        after.set(id(1), None);
        after.set(id(3), Some(RoleSource::Jit));
        assert_eq!([1, 2, 3].map(|n| after.of(id(n))), [RoleSource::Direct, RoleSource::Direct, RoleSource::Jit]);
        assert_eq!(before.of(id(1)), RoleSource::Invitation);
    }
}
