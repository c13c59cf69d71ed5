//! The invoices: in memory, for this is about who may see them. Every function takes the organization first, and there is no other way in.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{Mutex, PoisonError},
};

use serde::{Deserialize, Serialize};
use uuid::Uuid;

const MAX_INVOICES: usize = 10_000;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Draft {
    customer: String,
    amount_cents: i64,
}

#[derive(Debug, Clone, Serialize)]
pub struct Invoice {
    id: Uuid,
    customer: String,
    amount_cents: i64,
    /// The member who wrote it.
    author: String,
}

#[derive(Debug, Default)]
pub struct Book {
    pages: Mutex<HashMap<String, BTreeMap<Uuid, Invoice>>>,
}

impl Book {
    pub fn list(&self, organization: &str) -> Vec<Invoice> {
        let pages = self.pages.lock().unwrap_or_else(PoisonError::into_inner);
        pages.get(organization).into_iter().flat_map(BTreeMap::values).cloned().collect()
    }

    pub fn get(&self, organization: &str, id: Uuid) -> Option<Invoice> {
        let pages = self.pages.lock().unwrap_or_else(PoisonError::into_inner);
        pages.get(organization)?.get(&id).cloned()
    }

    pub fn add(&self, organization: &str, author: &str, draft: Draft) -> Result<Invoice, &'static str> {
        if draft.customer.trim().is_empty() || draft.customer.len() > 200 || draft.amount_cents <= 0 {
            return Err("customer must be 1 to 200 bytes, and amount_cents more than 0");
        }
        let Draft { customer, amount_cents } = draft;
        let invoice = Invoice { id: Uuid::now_v7(), customer, amount_cents, author: author.to_owned() };
        let mut pages = self.pages.lock().unwrap_or_else(PoisonError::into_inner);
        let page = pages.entry(organization.to_owned()).or_default();
        if page.len() >= MAX_INVOICES {
            return Err("the book is full");
        }
        page.insert(invoice.id, invoice.clone());
        Ok(invoice)
    }
}
