use std::process::ExitCode;

fn main() -> ExitCode {
    runtime::main(runtime::Service {
        name: "org-service",
        version: env!("CARGO_PKG_VERSION"),
        ports: runtime::Ports { api: 7101, admin: 7201 },
        public: false,
        serve: org_service::serve,
        migrate: Some(org_service::migrate),
    })
}
