use api::org::v1 as proto;

use super::Reading;
use crate::model::{Branding, Color, LogoUri, SenderName};

/// None where nothing is set.
pub fn branding(branding: &Branding) -> Option<proto::Branding> {
    (*branding != Branding::default()).then(|| proto::Branding {
        logo_uri: branding.logo_uri.clone().map(String::from).unwrap_or_default(),
        primary_color: branding.primary_color.clone().map(String::from).unwrap_or_default(),
        sender_name: branding.sender_name.clone().map(String::from).unwrap_or_default(),
    })
}

pub fn read(reading: &mut Reading<'_>, branding: Option<proto::Branding>) -> Branding {
    let branding = branding.unwrap_or_default();
    Branding {
        logo_uri: reading.text("branding.logo_uri", &branding.logo_uri, LogoUri::parse),
        primary_color: reading.text("branding.primary_color", &branding.primary_color, Color::parse),
        sender_name: reading.text("branding.sender_name", &branding.sender_name, SenderName::parse),
    }
}
