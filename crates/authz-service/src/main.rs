use std::process::ExitCode;

fn main() -> ExitCode {
    runtime::main(runtime::Service {
        name: "authz-service",
        version: env!("CARGO_PKG_VERSION"),
        ports: runtime::Ports { api: 7103, admin: 7203 },
        public: false,
        serve: authz_service::serve,
        migrate: Some(authz_service::migrate),
    })
}
