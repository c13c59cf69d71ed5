use std::process::ExitCode;

fn main() -> ExitCode {
    runtime::main(runtime::Service {
        name: "member-service",
        version: env!("CARGO_PKG_VERSION"),
        ports: runtime::Ports { api: 7102, admin: 7202 },
        public: false,
        serve: member_service::serve,
        migrate: Some(member_service::migrate),
    })
}
