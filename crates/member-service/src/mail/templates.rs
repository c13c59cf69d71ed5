//! What the mails say: as plain text, and the same as HTML with whatever others wrote escaped.

use url::Url;

use super::Mail;
use crate::model::{EmailAddress, InvitationMessage};

/// What an invitation's mail is made of.
#[derive(Debug)]
pub struct InvitationMail<'a> {
    pub to: &'a EmailAddress,
    pub organization: &'a str,
    /// Who invites, by name; empty where nobody has one.
    pub inviter: &'a str,
    pub message: &'a InvitationMessage,
    pub link: &'a Url,
    pub days: i64,
}

pub fn invitation(mail: &InvitationMail<'_>) -> Mail {
    let InvitationMail { to, organization, inviter, message, link, days } = mail;
    let who = if inviter.is_empty() { "You are invited" } else { &format!("{inviter} invites you") };
    let offer = format!("{who} to join {organization}.");
    let until = match days {
        ..=1 => "The link works once, for a day.".to_owned(),
        days => format!("The link works once, for {days} days."),
    };
    let aside = "If you did not expect this, you can ignore it.";
    let (said, said_html) = if message.is_empty() {
        (String::new(), String::new())
    } else {
        let html = escape(message.as_str()).replace('\n', "<br>");
        (format!("{}\n\n", message.as_str()), format!("<blockquote>{html}</blockquote>"))
    };
    Mail {
        to: (*to).clone(),
        subject: format!("Join {organization}"),
        text: format!("{offer}\n\n{said}To accept, open this link:\n\n{link}\n\n{until} {aside}\n"),
        html: page(&format!(
            "<p>{}</p>{said_html}<p><a href=\"{link}\">Accept the invitation</a></p><p>{until} {aside}</p>",
            escape(&offer),
            link = escape(link.as_str()),
        )),
    }
}

/// `organization` is empty where none was named.
pub fn sign_in_code(to: &EmailAddress, organization: &str, code: &str, minutes: i64) -> Mail {
    let purpose = match organization {
        "" => "Your code to sign in:".to_owned(),
        organization => format!("Your code to sign in to {organization}:"),
    };
    let rest = format!(
        "It works once, for {minutes} minutes. Nobody from us will ever ask you for it. If you did not ask for it, you can ignore this mail."
    );
    Mail {
        to: to.clone(),
        subject: "Your sign-in code".to_owned(),
        text: format!("{purpose} {code}\n\n{rest}\n"),
        html: page(&format!(
            "<p>{}</p><p style=\"font-size:1.5em\"><strong>{code}</strong></p><p>{rest}</p>",
            escape(&purpose)
        )),
    }
}

fn page(body: &str) -> String {
    format!("<!doctype html><html><head><meta charset=\"utf-8\"></head><body>{body}</body></html>")
}

fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            c => escaped.push(c),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mail(organization: &str, message: &str) -> Mail {
        invitation(&InvitationMail {
            to: &EmailAddress::parse("grace@acme.test").unwrap(),
            organization,
            inviter: "Ada",
            message: &InvitationMessage::parse(message).unwrap(),
            link: &Url::parse("https://acme.test/join?token=ghi_x").unwrap(),
            days: 7,
        })
    }

    #[test]
    fn what_others_wrote_stays_text() {
        let mail = mail("<b>Acme</b> & \"Sons\"", "<script>alert('x')</script>\nsecond line");
        assert!(!mail.html.contains("<b>") && !mail.html.contains("<script>"), "{}", mail.html);
        assert!(mail.html.contains("&lt;b&gt;Acme&lt;/b&gt; &amp; &quot;Sons&quot;"));
        assert!(mail.html.contains("<br>second line"));
        assert!(mail.text.contains("<script>alert('x')</script>"), "plain text needs no escape");
    }

    #[test]
    fn the_link_stands_alone_on_its_line() {
        assert!(mail("Acme", "").text.lines().any(|line| line == "https://acme.test/join?token=ghi_x"));
    }

    #[test]
    fn the_code_ends_its_line() {
        let mail = sign_in_code(&EmailAddress::parse("grace@acme.test").unwrap(), "Acme", "012345", 10);
        assert!(mail.text.lines().any(|line| line.ends_with(": 012345")) && !mail.subject.contains("012345"));
    }
}
