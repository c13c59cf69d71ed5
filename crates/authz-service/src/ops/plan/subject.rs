use tenancy::Change as Changed;

use super::{Plan, Step};
use crate::{
    model::{Standing, SubjectStatus},
    ops::{edit::Made, subject::News},
};

impl Plan {
    /// What is known of the subject, and what follows on it.
    fn standing(&self, news: News, status: SubjectStatus) -> (Option<Standing>, Standing) {
        let before = self.records.standings.get(&news.subject).cloned();
        let after = Standing {
            organization_id: self.ground.owners.tenant,
            subject: news.subject,
            status,
            member_revision: news.member_revision,
            create_time: before.as_ref().map_or(self.ground.now, |before| before.create_time),
            update_time: self.ground.now,
            revision: self.ground.revision,
        };
        (before, after)
    }

    /// A state that is news. Whether it is was asked before.
    pub(super) fn note(&mut self, news: News, suspended: bool) -> Made {
        let status = if suspended { SubjectStatus::Suspended } else { SubjectStatus::Active };
        let (before, after) = self.standing(news, status);
        self.take(Step::Standing(Changed { before, after: Some(after.clone()) }));
        Made::Standing(after)
    }

    pub(super) fn remove_subject(&mut self, news: News) -> Made {
        let (before, after) = self.standing(news, SubjectStatus::Removed);
        self.take(Step::Standing(Changed { before, after: Some(after) }));
        self.strip(news.subject);
        Made::Nothing
    }
}
