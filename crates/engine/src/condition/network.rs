use std::net::{IpAddr, Ipv6Addr};

/// The addresses that share a prefix.
#[derive(Debug, Clone, Copy)]
pub(super) struct Range {
    prefix: u128,
    mask: u128,
    is_v6: bool,
}

/// An IPv4 address in IPv6's clothes is the IPv4 address: otherwise it would slip past a range of IPv4.
pub(super) fn address(text: &str) -> Result<IpAddr, String> {
    let parsed: IpAddr = text.parse().map_err(|_| "the text is not an IP address".to_owned())?;
    Ok(parsed.to_canonical())
}

/// `10.0.0.0/8`, `2001:db8::/32`. Bits behind the prefix must be zero: whoever writes others means something else.
pub(super) fn range(text: &str) -> Result<Range, String> {
    let wrong = || "the text is not a range of IP addresses: it has the form `10.0.0.0/8`".to_owned();
    let (first, length) = text.split_once('/').ok_or_else(wrong)?;
    let is_plain = !length.is_empty() && length.len() <= 3 && length.bytes().all(|byte| byte.is_ascii_digit());
    let length: u32 = length.parse().ok().filter(|_| is_plain).ok_or_else(wrong)?;
    let first: IpAddr = first.parse().map_err(|_| wrong())?;
    let (prefix, width) = bits(first);
    if length > width {
        return Err(wrong());
    }
    let mask = if length == 0 { 0 } else { u128::MAX << (width - length) };
    let mask = if width == 32 { mask & u128::from(u32::MAX) } else { mask };
    if prefix & !mask != 0 {
        return Err("the range of IP addresses has bits behind its prefix".to_owned());
    }
    if let IpAddr::V6(first) = first
        && first.to_ipv4_mapped().is_some()
    {
        return Err("the range is of IPv4 and is written as such".to_owned());
    }
    Ok(Range { prefix, mask, is_v6: width == 128 })
}

fn bits(address: IpAddr) -> (u128, u32) {
    match address {
        IpAddr::V4(address) => (u128::from(address.to_bits()), 32),
        IpAddr::V6(address) => (Ipv6Addr::to_bits(address), 128),
    }
}

impl Range {
    pub(super) fn contains(&self, address: IpAddr) -> bool {
        let (bits, width) = bits(address);
        self.is_v6 == (width == 128) && bits & self.mask == self.prefix
    }
}
