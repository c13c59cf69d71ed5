//! The catalogues in memory, in the form that decides.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError, Weak},
};

use engine::{Catalog, InvalidCatalog};
use tenancy::ProjectId;

use crate::model::PermissionCatalog;

/// Those that somebody holds: the organizations of a project share one. Each is by its project and the revision that wrote it, and is given
/// out only for what it was made of: after a restore the same revision may have written another.
#[derive(Debug, Default)]
pub struct Catalogs(Mutex<Held>);

#[derive(Debug, Default)]
struct Held {
    catalogs: HashMap<(ProjectId, i64), Weak<Catalog>>,
    /// Those that nobody holds any more are dropped when there are as many.
    limit: usize,
}

const FEW: usize = 1024;

impl Catalogs {
    /// The project's catalogue. One makes it while others wait for it.
    pub fn of(&self, project: ProjectId, stored: PermissionCatalog) -> Result<Arc<Catalog>, InvalidCatalog> {
        let mut held = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let key = (project, stored.revision);
        let known = held.catalogs.get(&key).and_then(Weak::upgrade);
        if let Some(known) = known.filter(|known| known.project_types() == stored.resource_types) {
            return Ok(known);
        }
        let made = Arc::new(Catalog::new(stored.resource_types)?);
        if held.catalogs.len() >= held.limit.max(FEW) {
            held.catalogs.retain(|_, catalog| catalog.strong_count() > 0);
            held.limit = held.catalogs.len() * 2;
        }
        held.catalogs.insert(key, Arc::downgrade(&made));
        Ok(made)
    }
}

#[cfg(test)]
mod tests {
    use engine::ResourceType;

    use super::*;

    fn stored(revision: i64, names: &[&str]) -> PermissionCatalog {
        let named = |name: &&str| ResourceType { name: (*name).to_owned(), ..ResourceType::default() };
        PermissionCatalog { resource_types: names.iter().map(named).collect(), revision, ..Default::default() }
    }

    #[test]
    fn a_catalog_is_one_for_its_project_and_its_revision() {
        let (catalogs, project) = (Catalogs::default(), ProjectId::new());
        let first = catalogs.of(project, stored(1, &["document"])).unwrap();
        let again = catalogs.of(project, stored(1, &["document"])).unwrap();
        assert!(Arc::ptr_eq(&first, &again));
        let next = catalogs.of(project, stored(2, &["document", "folder"])).unwrap();
        assert!(next.knows_type("folder") && !Arc::ptr_eq(&first, &next));
        let others = catalogs.of(ProjectId::new(), stored(1, &["document"])).unwrap();
        assert!(!Arc::ptr_eq(&first, &others), "another project's");
        let behind = catalogs.of(project, stored(1, &["document"])).unwrap();
        assert!(Arc::ptr_eq(&first, &behind), "whoever is still at the revision before");
    }

    #[test]
    fn another_history_does_not_find_what_the_first_wrote_at_the_same_revision() {
        let (catalogs, project) = (Catalogs::default(), ProjectId::new());
        let undone = catalogs.of(project, stored(3, &["document"])).unwrap();
        let now = catalogs.of(project, stored(3, &["folder"])).unwrap();
        assert!(now.knows_type("folder") && !now.knows_type("document"));
        assert!(Arc::ptr_eq(&now, &catalogs.of(project, stored(3, &["folder"])).unwrap()));
        assert!(undone.knows_type("document"), "whoever holds it keeps it");
    }

    #[test]
    fn catalogs_that_nobody_holds_go() {
        let (catalogs, project) = (Catalogs::default(), ProjectId::new());
        let kept = catalogs.of(project, stored(0, &["document"])).unwrap();
        for revision in 1..FEW as i64 * 4 {
            catalogs.of(project, stored(revision, &[])).unwrap();
        }
        assert!(catalogs.0.lock().unwrap().catalogs.len() <= FEW * 2);
        assert!(Arc::ptr_eq(&kept, &catalogs.of(project, stored(0, &["document"])).unwrap()));
    }
}
