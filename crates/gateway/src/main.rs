//! The gateway: the only public door of an installation.

use std::process::ExitCode;

fn main() -> ExitCode {
    runtime::main(runtime::Service {
        name: "gateway",
        version: env!("CARGO_PKG_VERSION"),
        ports: runtime::Ports { api: 8080, admin: 8081 },
        public: true,
        serve: gateway::serve,
        migrate: runtime::no_migration(),
    })
}
