/// What a figure may be.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Bound {
    AtMost(f64),
    AtLeast(f64),
}

impl Bound {
    pub fn holds(self, figure: f64) -> bool {
        match self {
            Self::AtMost(most) => figure <= most,
            Self::AtLeast(least) => figure >= least,
        }
    }
}

/// The paths that have a budget, by the keys of their figures, with what each is.
pub const BUDGETS: [(&str, Bound, &str); 13] = [
    ("check_in_process_p50_ns", Bound::AtMost(200.0), "Check in process, median"),
    ("check_in_process_p99_ns", Bound::AtMost(1_000.0), "Check in process, p99"),
    ("check_grpc_of_floor", Bound::AtLeast(0.80), "Check over gRPC, of an empty RPC's rate"),
    ("batch_check_speedup", Bound::AtLeast(15.0), "BatchCheck of 100, of single calls' checks/s"),
    ("visibility_p99_ms", Bound::AtMost(250.0), "a binding seen by another replica, p99"),
    ("mint_of_floor", Bound::AtLeast(0.70), "client_credentials, of an empty RPC and a signature"),
    ("refresh_of_transaction", Bound::AtLeast(0.70), "refresh, of a write transaction of six round trips"),
    ("sign_in_of_argon2", Bound::AtLeast(0.90), "sign-in by password, of bare Argon2id"),
    ("forward_of_direct", Bound::AtLeast(0.45), "through the gateway, of direct"),
    ("get_of_select", Bound::AtLeast(0.70), "get by id, of a read transaction"),
    ("list_growth", Bound::AtMost(1.3), "a page of 100k, of the same of 1k"),
    ("idle_rss_mb", Bound::AtMost(25.0), "resident memory of an idle service"),
    ("ready_ms", Bound::AtMost(200.0), "from start to ready"),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bound_is_kept_at_its_edge() {
        assert!(Bound::AtMost(1.3).holds(1.3) && !Bound::AtMost(1.3).holds(1.31));
        assert!(Bound::AtLeast(0.8).holds(0.8) && !Bound::AtLeast(0.8).holds(0.79));
    }

    #[test]
    fn no_key_has_two_budgets() {
        let mut keys: Vec<&str> = BUDGETS.iter().map(|(key, ..)| *key).collect();
        keys.sort_unstable();
        keys.dedup();
        assert_eq!(keys.len(), BUDGETS.len());
    }
}
