use secrecy::SecretString;

use super::*;

#[derive(Args, Debug)]
struct TestConfig {
    #[command(flatten)]
    process: ProcessOptions,
    #[arg(long, env = "RUNTIME_TEST_DATABASE_URL")]
    database_url: SecretString,
    #[arg(long, default_value = "")]
    issuer: String,
}

impl Config for TestConfig {
    fn process(&self) -> &ProcessOptions {
        &self.process
    }

    fn validate(&self) -> Result<(), Vec<String>> {
        if self.issuer.is_empty() { Err(vec!["--issuer: must not be empty".to_owned()]) } else { Ok(()) }
    }
}

fn read_args(args: &[&str]) -> Result<Command<TestConfig, NoMigration>, Refused> {
    let ports = Ports { api: 7101, admin: 7201 };
    let command = command_line::<TestConfig, NoMigration>("thing-service", "1.2.3", ports, false, false);
    read(command, ["thing-service"].iter().chain(args).map(OsString::from).collect())
}

fn usage_of(args: &[&str]) -> String {
    match read_args(args) {
        Err(Refused::Usage(text)) => text,
        other => panic!("expected a usage error, got {other:?}"),
    }
}

#[test]
fn a_good_configuration_gets_the_ports_of_its_service() {
    let command = read_args(&["serve", "--database-url", "x", "--issuer", "y"]).expect("it is good");
    let Command::Serve(config) = command else { panic!("serve was asked for") };
    assert_eq!(config.process.listen.to_string(), "0.0.0.0:7101");
    assert_eq!(config.process.admin_listen.to_string(), "0.0.0.0:7201");
}

#[test]
fn every_fault_is_in_one_message_and_no_value_is() {
    let text = usage_of(&[
        "serve",
        "--database-url",
        "postgres://user:hunter2@host/db",
        "--listen=nowhere",
        "--drain-delay",
        "soon",
        "--log-format",
        "xml",
        "--trace-ratio",
        "7",
    ]);
    for fault in [
        "--listen (GUILDHALL_LISTEN)",
        "--drain-delay (GUILDHALL_DRAIN_DELAY)",
        "--log-format (GUILDHALL_LOG_FORMAT): must be one of json, text",
        "--trace-ratio",
        "--issuer",
    ] {
        assert!(text.contains(fault), "{fault} is missing in:\n{text}");
    }
    assert!(text.contains("5 faults"), "{text}");
    for value in ["hunter2", "nowhere", "soon", "xml"] {
        assert!(!text.contains(value), "{value} is shown in:\n{text}");
    }
}

#[test]
fn a_missing_value_is_named_beside_a_malformed_one() {
    let text = usage_of(&["check-config", "--max-deadline", "never"]);
    assert!(text.contains("--max-deadline (GUILDHALL_MAX_DEADLINE): must be a number of seconds"), "{text}");
    assert!(text.contains("--database-url (RUNTIME_TEST_DATABASE_URL): is required"), "{text}");
}

#[test]
fn a_service_without_a_database_has_no_migrate() {
    assert!(usage_of(&["migrate"]).contains("unrecognized subcommand"));
    assert!(matches!(read_args(&["version"]), Ok(Command::Version)));
    assert!(matches!(read_args(&["serve", "--help"]), Err(Refused::Help(_))));
}
