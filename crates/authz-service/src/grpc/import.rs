//! An organization's authorization on its way in: read as far as its bounds go, looked at as a whole, then made.

use std::{sync::Arc, time::Duration};

use access::Granted;
use api::{
    access::v1::ErrorReason,
    authz::v1::{
        ImportOrganizationRequest, ImportOrganizationResponse, SubjectReplacement,
        authorization_record::Record as Proto,
    },
};
use prost::Message as _;
use runtime::{Inlet, Refusal, Violations};
use tenancy::{Once, OrganizationScope, StoreError};
use tokio::sync::Semaphore;
use tonic::{Code, Request, Response, Status, Streaming};

use super::{
    Server, call,
    convert::{binding, change, group, role, subject, text},
    refusal::rejected_at,
};
use crate::ops::{
    self, Rejected,
    import::{Import, Record, TranslationError},
};

const MAX_RECORDS: usize = 50_000;
const MAX_BYTES: usize = 64 * 1024 * 1024;
const MAX_REPLACEMENTS: usize = 1_000;
/// Each may be as large as its bounds.
const AT_ONCE: usize = 2;
/// All of it is held until the last message is there.
const LONGEST: Duration = Duration::from_secs(180);

/// The imports that are under way.
#[derive(Debug, Clone)]
pub(super) struct Imports(Arc<Semaphore>);

impl Default for Imports {
    fn default() -> Self {
        Self(Arc::new(Semaphore::new(AT_ONCE)))
    }
}

/// What has been read of a stream.
#[derive(Default)]
pub(crate) struct Read {
    pub(crate) import: Import,
    pub(crate) messages: usize,
    bytes: usize,
    /// Over the hashes of the messages: the request's body, as far as a retry is concerned.
    pub(crate) digest: [u8; 32],
    pub(crate) violations: Violations,
}

impl Read {
    pub(crate) fn take(
        &mut self,
        message: &ImportOrganizationRequest,
        first: &ImportOrganizationRequest,
    ) -> Result<(), Status> {
        let (at, encoded) = (self.messages, message.encode_to_vec());
        self.messages += 1;
        self.bytes += encoded.len();
        self.digest = tenancy::event::sha256(&[self.digest, tenancy::event::sha256(&encoded)].concat());
        let limit = |name, allowed: usize, used: usize| {
            let number = |count: usize| i64::try_from(count).unwrap_or(i64::MAX);
            Status::from(Refusal::limit_reached(name, number(allowed), number(used)))
        };
        // A message without a record counts like one with: it takes as much to read.
        if self.messages > MAX_RECORDS {
            return Err(limit("max_import_records", MAX_RECORDS, self.messages));
        }
        if self.bytes > MAX_BYTES {
            return Err(limit("max_import_bytes", MAX_BYTES, self.bytes));
        }
        let place = format!("messages[{at}]");
        let same = message.organization_id == first.organization_id;
        self.violations.require(same, format!("{place}.organization_id"), "must be that of the first message");
        let only_first = at == 0 || message.request_id.is_empty();
        self.violations.require(only_first, format!("{place}.request_id"), "stands in the first message only");
        let (field, count) = (format!("{place}.subjects"), message.subjects.len());
        text::count(&mut self.violations, &field, count, 0, MAX_REPLACEMENTS);
        for (n, named) in message.subjects.iter().take(MAX_REPLACEMENTS).enumerate() {
            self.replace(&format!("{place}.subjects[{n}]"), named);
        }
        match message.record.as_ref().map(|record| record.record.as_ref()) {
            Some(Some(record)) => {
                let record = record_of(&mut self.violations, &format!("{place}.record"), record);
                self.import.records.extend(record.map(|record| (at, record)));
            }
            None if !message.subjects.is_empty() => {}
            _ => self.violations.add(format!("{place}.record"), "must be one record"),
        }
        Ok(())
    }

    fn replace(&mut self, field: &str, named: &SubjectReplacement) {
        let subject = self.violations.check(format!("{field}.subject"), subject::one(named.subject.as_ref()));
        let replacement = subject::one(named.replacement.as_ref());
        let replacement = self.violations.check(format!("{field}.replacement"), replacement);
        if let (Some(subject), Some(replacement)) = (subject, replacement)
            && self.import.subjects.insert(subject, replacement).is_some()
        {
            self.violations.add(format!("{field}.subject"), "came before");
        }
    }
}

fn record_of(violations: &mut Violations, place: &str, record: &Proto) -> Option<Record> {
    /// An id that other records may refer to by.
    fn id<T: std::str::FromStr<Err = tenancy::IdError>>(
        violations: &mut Violations,
        field: String,
        text: &str,
    ) -> Option<T> {
        if text.is_empty() { None } else { violations.check(field, text.parse()) }
    }
    match record {
        Proto::Role(named) if named.organization_id.is_empty() => {
            let id = violations.check(format!("{place}.role.role_id"), named.role_id.parse());
            let key = violations.check(format!("{place}.role.key"), named.key.parse());
            Some(Record::Template { id: id?, key: key? })
        }
        Proto::Role(named) => {
            let id = id(violations, format!("{place}.role.role_id"), &named.role_id);
            role::parse(violations, &format!("{place}.role"), named).map(|new| Record::Role { id, new })
        }
        Proto::Group(named) => {
            let id = id(violations, format!("{place}.group.group_id"), &named.group_id);
            group::parse(violations, &format!("{place}.group"), named).map(|new| Record::Group { id, new })
        }
        Proto::Membership(named) => change::membership(violations, &format!("{place}.membership"), named)
            .map(|(group, subject)| Record::Membership { group, subject }),
        Proto::Resource(named) => {
            change::registration(violations, &format!("{place}.resource"), named).map(Record::Resource)
        }
        Proto::Binding(named) => binding::parse(violations, &format!("{place}.binding"), named).map(Record::Binding),
    }
}

fn not_bare() -> Status {
    let message = "the organization has roles, groups or registered resources of its own: nothing was taken in";
    Refusal::new(Code::Aborted, ErrorReason::PreconditionNotMet, message).into()
}

impl Server {
    pub(super) async fn import(
        &self,
        request: Request<Streaming<ImportOrganizationRequest>>,
    ) -> Result<Response<ImportOrganizationResponse>, Status> {
        let (metadata, extensions, stream) = request.into_parts();
        let mut inlet = Inlet::new(stream, LONGEST);
        // Who calls is known before anything is kept of what they send.
        let first = inlet.next().await?.unwrap_or_default();
        let request = Request::from_parts(metadata, extensions, first);
        let granted = self.access.organization(&request).await?;
        let first = request.into_inner();
        let _place = self.imports.0.clone().try_acquire_owned().map_err(|_| access::store(StoreError::Busy))?;
        let mut read = Read::default();
        read.take(&first, &first)?;
        while let Some(message) = inlet.next().await? {
            read.take(&message, &first)?;
        }
        let once = granted.once(&first.request_id, &first)?;
        let once = once.map(|once| Once { body_hash: read.digest, ..once });
        read.violations.finish()?;
        // Asked when the stream began, which may be minutes ago.
        self.access.not_taken_back(&granted, None).await?;
        self.make(&granted, once, read.import).await
    }

    async fn make(
        &self,
        granted: &Granted<OrganizationScope>,
        once: Option<Once>,
        import: Import,
    ) -> Result<Response<ImportOrganizationResponse>, Status> {
        let count = i64::try_from(import.records.len()).unwrap_or(i64::MAX);
        let translated = ops::import::translate(&self.snapshots, granted.scope, import).await;
        let translated = translated.map_err(|error| match error {
            TranslationError::Store(error) => access::store(error),
            TranslationError::Faults(faults) => {
                let mut violations = Violations::default();
                for (message, field, fault) in faults {
                    violations.add(format!("messages[{message}].record.{field}"), fault);
                }
                violations.finish().err().unwrap_or_else(|| access::store(StoreError::Corrupt("faults")))
            }
        })?;
        let call = call(granted, once)?;
        self.may_make_each(granted, call.grantor, &translated.edits).await?;
        let most_roles = self.most_roles_for(granted, call.once.as_ref(), &translated.edits).await?;
        let kinds: Vec<&'static str> = translated.edits.iter().map(change::record).collect();
        let path = |at: usize, field: &str| {
            let (message, kind) = (translated.messages.get(at).copied(), kinds.get(at).copied());
            let place = format!("messages[{}].record.{}", message.unwrap_or_default(), kind.unwrap_or_default());
            if field.is_empty() { place } else { format!("{place}.{field}") }
        };
        let imported =
            ops::import::import(&self.snapshots, granted.scope, &call, translated.edits, most_roles, count).await;
        let imported = imported.map_err(|error| match error {
            Rejected::Unmet(_) => not_bare(),
            error => rejected_at(error, path),
        })?;
        let revision = imported.revision.token(self.sealer());
        Ok(Response::new(ImportOrganizationResponse { revision, record_count: imported.value }))
    }
}
