//! How this service is configured.

use access::{AccessOptions, RevocationOptions};
use clap::Args;
use runtime::ProcessOptions;
use schema::{SchemaOptions, url_fault};
use url::Url;

use crate::background::SmtpOptions;

/// Of `serve`.
#[derive(Args, Clone, Debug)]
pub struct Config {
    #[command(flatten)]
    pub process: ProcessOptions,
    #[command(flatten)]
    pub access: AccessOptions,
    #[command(flatten)]
    pub revocation: RevocationOptions,
    #[command(flatten)]
    pub smtp: SmtpOptions,
    #[command(flatten)]
    pub schema: SchemaOptions,
    /// Where org-service is: `http://host:port`, or several with commas in between.
    #[arg(long, env = "GUILDHALL_ORG_URL", value_name = "URL")]
    pub org_url: String,
    /// Where authz-service is.
    #[arg(long, env = "GUILDHALL_AUTHZ_URL", value_name = "URL")]
    pub authz_url: String,
    /// The page where invitations are accepted. Mails link to it with `?token=<secret>` added.
    #[arg(long, env = "GUILDHALL_INVITATION_URL", value_name = "URL")]
    pub invitation_url: String,
    /// The page where links of mails sign in. They lead to it with `?token=<secret>` added; the page posts the secret to
    /// CompleteEmailSignIn. Without it mails hold codes and no links.
    #[arg(long, env = "GUILDHALL_SIGN_IN_URL", value_name = "URL")]
    pub sign_in_url: Option<String>,
}

impl Config {
    pub fn invitation_url(&self) -> Result<Url, runtime::Error> {
        Ok(Url::parse(&self.invitation_url)?)
    }

    pub fn sign_in_url(&self) -> Result<Option<Url>, runtime::Error> {
        Ok(self.sign_in_url.as_deref().map(Url::parse).transpose()?)
    }
}

impl runtime::Config for Config {
    fn process(&self) -> &ProcessOptions {
        &self.process
    }

    fn validate(&self) -> Result<(), Vec<String>> {
        let mut faults = self.access.faults(access::Service::Member);
        faults.extend(self.revocation.faults());
        faults.extend(self.smtp.faults());
        faults.extend(self.schema.faults());
        faults.extend(self.process.service_url_fault("--org-url (GUILDHALL_ORG_URL)", &self.org_url));
        faults.extend(self.process.service_url_fault("--authz-url (GUILDHALL_AUTHZ_URL)", &self.authz_url));
        let bare = |url: Url| url.query().is_none() && url.fragment().is_none();
        let page = |text: &str| url_fault("", text).is_none() && Url::parse(text).is_ok_and(bare);
        let fault = "must be the http or https address of a page, without a query: the secret is added as one";
        if !page(&self.invitation_url) {
            faults.push(format!("--invitation-url (GUILDHALL_INVITATION_URL): {fault}"));
        }
        if !self.sign_in_url.as_deref().is_none_or(page) {
            faults.push(format!("--sign-in-url (GUILDHALL_SIGN_IN_URL): {fault}"));
        }
        if faults.is_empty() { Ok(()) } else { Err(faults) }
    }
}
