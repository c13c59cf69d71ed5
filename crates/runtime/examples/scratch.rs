use clap::Args;
use http::{Request, Response};
use std::convert::Infallible;
use std::process::ExitCode;
use tonic::body::Body;
#[derive(Args, Debug)]
struct C {
    #[command(flatten)]
    process: runtime::ProcessOptions,
}
impl runtime::Config for C {
    fn process(&self) -> &runtime::ProcessOptions {
        &self.process
    }
}
async fn serve(_c: C, p: runtime::Process) -> Result<(), runtime::Error> {
    let contract = runtime::Contract::from_descriptor_set(api::FILE_DESCRIPTOR_SET)?;
    Ok(p.serve(runtime::Api::new(contract), tower::layer::util::Identity::new()).await?)
}
fn main() -> ExitCode {
    let _: Option<(Infallible, Request<Body>, Response<Body>)> = None;
    runtime::main(runtime::Service {
        name: "scratch",
        version: "0.1.0",
        ports: runtime::Ports { api: 17999, admin: 17998 },
        serve,
        migrate: runtime::no_migration(),
    })
}
