//! What the mails say: as plain text, and the same as HTML, which escapes whatever others wrote.

use std::sync::LazyLock;

use minijinja::{AutoEscape, Environment, Value, context};
use url::Url;

use super::Mail;
use crate::model::{Brand, EmailAddress, InvitationMessage};

/// Where an organization has no colour of its own.
const COLOR: &str = "#1a1a1a";

/// What an invitation's mail is made of.
#[derive(Debug)]
pub struct InvitationMail<'a> {
    pub to: &'a EmailAddress,
    pub brand: &'a Brand,
    /// Who invites, by name; empty where nobody has one.
    pub inviter: &'a str,
    pub message: &'a InvitationMessage,
    pub link: &'a Url,
    pub days: i64,
}

pub fn invitation(mail: &InvitationMail<'_>) -> Mail {
    let InvitationMail { to, brand, inviter, message, link, days } = mail;
    let lines: Vec<Value> = message.as_str().lines().map(Value::from).collect();
    let days = match days {
        ..=1 => "a day".to_owned(),
        days => format!("{days} days"),
    };
    let values = context! {
        organization => brand.organization.as_str(), logo => brand.logo(), color => brand.color().unwrap_or(COLOR),
        inviter => *inviter, message => lines, link => link.as_str(), days,
    };
    compose(to, brand, &format!("Join {}", brand.organization), "invitation", &values)
}

/// Without an organization where none was named; with a code, a link, or both.
pub fn sign_in(to: &EmailAddress, brand: &Brand, code: Option<&str>, link: Option<&Url>, minutes: i64) -> Mail {
    let values = context! {
        organization => brand.organization.as_str(), logo => brand.logo(), color => brand.color().unwrap_or(COLOR),
        code, link => link.map(Url::as_str), minutes,
    };
    let subject = if code.is_some() { "Your sign-in code" } else { "Your sign-in link" };
    compose(to, brand, subject, "sign_in", &values)
}

fn compose(to: &EmailAddress, brand: &Brand, subject: &str, template: &str, values: &Value) -> Mail {
    Mail {
        to: to.clone(),
        sender_name: on_one_line(brand.sender()),
        subject: on_one_line(subject),
        text: render(&format!("{template}.txt"), values),
        html: render(&format!("{template}.html"), values),
    }
}

/// Nothing that stands in a header ends its line. Names are checked when they are given, and by another service.
fn on_one_line(text: &str) -> String {
    text.chars().map(|c| if c.is_control() || matches!(c, '\u{2028}' | '\u{2029}') { ' ' } else { c }).collect()
}

static TEMPLATES: LazyLock<Environment<'static>> = LazyLock::new(|| {
    let mut templates = Environment::new();
    templates.set_auto_escape_callback(
        |name| {
            if name.ends_with(".html") { AutoEscape::Html } else { AutoEscape::None }
        },
    );
    templates.set_undefined_behavior(minijinja::UndefinedBehavior::SemiStrict);
    for (name, source) in [
        ("page.html", include_str!("templates/page.html")),
        ("invitation.html", include_str!("templates/invitation.html")),
        ("invitation.txt", include_str!("templates/invitation.txt")),
        ("sign_in.html", include_str!("templates/sign_in.html")),
        ("sign_in.txt", include_str!("templates/sign_in.txt")),
    ] {
        templates.add_template(name, source).expect("a template of ours parses, which a test sees to");
    }
    templates
});

fn render(name: &str, values: &Value) -> String {
    let template = TEMPLATES.get_template(name).expect("a mail has a template for text and for HTML");
    template.render(values).expect("a template uses what every mail of its kind gives, which a test sees to")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn brand(organization: &str) -> Brand {
        Brand { organization: organization.to_owned(), ..Brand::default() }
    }

    fn invited(brand: &Brand, message: &str) -> Mail {
        invitation(&InvitationMail {
            to: &EmailAddress::parse("grace@acme.test").unwrap(),
            brand,
            inviter: "Ada",
            message: &InvitationMessage::parse(message).unwrap(),
            link: &Url::parse("https://acme.test/join?token=ghi_x&b=2").unwrap(),
            days: 7,
        })
    }

    #[test]
    fn what_others_wrote_stays_text() {
        let mail = invited(&brand("<b>Acme</b> & \"Sons\""), "<script>alert('x')</script>\nsecond {{ line }}");
        assert!(!mail.html.contains("<b>") && !mail.html.contains("<script>"), "{}", mail.html);
        assert!(mail.html.contains("&lt;b&gt;Acme&lt;&#x2f;b&gt; &amp; &quot;Sons&quot;"), "{}", mail.html);
        assert!(mail.html.contains("<br>second {{ line }}"), "{}", mail.html);
        assert!(mail.text.contains("<script>alert('x')</script>\nsecond {{ line }}\n"), "plain text needs no escape");
    }

    #[test]
    fn the_link_stands_alone_on_its_line() {
        let mail = invited(&brand("Acme"), "");
        assert!(mail.text.lines().any(|line| line == "https://acme.test/join?token=ghi_x&b=2"), "{}", mail.text);
        assert!(mail.text.starts_with("Ada invites you to join Acme.\n\nTo accept,"), "{}", mail.text);
    }

    #[test]
    fn the_code_ends_its_line() {
        let address = EmailAddress::parse("grace@acme.test").unwrap();
        let mail = sign_in(&address, &brand("Acme"), Some("012345"), None, 10);
        assert!(mail.text.lines().any(|line| line.ends_with("to Acme: 012345")) && !mail.subject.contains("012345"));
        assert_eq!(mail.sender_name, "Acme");
        let mail = sign_in(&address, &Brand::default(), Some("012345"), None, 10);
        assert!(mail.text.starts_with("Your code to sign in: 012345\n"), "{}", mail.text);
        assert_eq!(mail.sender_name, "");
    }

    #[test]
    fn a_mail_that_signs_in_holds_what_is_allowed() {
        let address = EmailAddress::parse("grace@acme.test").unwrap();
        let link = Url::parse("https://app.test/sign-in?token=ghl_x").unwrap();
        let both = sign_in(&address, &brand("Acme"), Some("012345"), Some(&link), 10);
        assert!(both.text.contains("012345") && both.html.contains("012345"), "{}", both.text);
        assert!(both.text.lines().any(|line| line == link.as_str()) && both.html.contains("ghl_x"), "{}", both.text);
        let alone = sign_in(&address, &Brand::default(), None, Some(&link), 10);
        assert!(!alone.text.contains("code") && !alone.html.contains("code"), "{}{}", alone.text, alone.html);
        assert!(alone.text.lines().any(|line| line == link.as_str()), "{}", alone.text);
        assert_eq!(alone.subject, "Your sign-in link");
    }

    #[test]
    fn the_brand_is_shown_and_cannot_leave_its_place() {
        let branded = Brand {
            sender_name: "Acme\r\nBcc: everybody@evil.test".to_owned(),
            logo_uri: "https://acme.test/logo.png?a=\"><script>".to_owned(),
            primary_color: "#0a7f3c".to_owned(),
            ..brand("Acme\nBcc: everybody@evil.test")
        };
        let mail = invited(&branded, "");
        assert!(mail.html.contains("color: #0a7f3c") && mail.html.contains("<img src=\"https:"), "{}", mail.html);
        assert!(!mail.html.contains("<script>"), "{}", mail.html);
        assert!(!mail.subject.contains(['\r', '\n']) && !mail.sender_name.contains(['\r', '\n']));

        let bent = Brand {
            logo_uri: "javascript:alert(1)".to_owned(),
            primary_color: "red; background: url(https://evil.test)".to_owned(),
            ..brand("Acme")
        };
        let mail = invited(&bent, "");
        assert!(
            mail.html.contains(COLOR) && !mail.html.contains("evil") && !mail.html.contains("<img"),
            "{}",
            mail.html
        );
    }
}
