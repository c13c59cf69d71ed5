use std::path::Path;

use super::record::Record;

/// The main job, as commands of a shell. What stands in double braces is filled in.
const STEPS: &str = include_str!("steps.sh");

/// What a newcomer needs once everything is up: where it is, who they are, and what to do.
pub fn summary(record: &Record, directory: &Path) -> String {
    let Record { gateway, gateway_admin, org, member, authz, org_admin, member_admin, authz_admin, .. } = record;
    let Record { project_id, client_id, client_secret, operator_client_id, operator_client_secret, .. } = record;
    let directory = directory.display();
    format!(
        "
gateway         http://{gateway}   (gRPC with reflection, HTTP; admin http://{gateway_admin})
org-service     {org}   (admin {org_admin})
member-service  {member}   (admin {member_admin})
authz-service   {authz}   (admin {authz_admin})
mailbox         http://{gateway_admin}/dev/mailbox
database        see database_url in {directory}/dev.json, where all of this is written down

project         {project_id}
client id       {client_id}
client secret   {client_secret}
operator        {operator_client_id}
its secret      {operator_client_secret}

{}
",
        steps(record)
    )
}

fn steps(record: &Record) -> String {
    [
        ("{{gateway}}", record.gateway.to_string()),
        ("{{gateway_admin}}", record.gateway_admin.to_string()),
        ("{{client_id}}", record.client_id.clone()),
        ("{{client_secret}}", record.client_secret.clone()),
    ]
    .iter()
    .fold(STEPS.to_owned(), |text, (place, value)| text.replace(place, value))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_steps_are_ten_and_a_shell_can_read_them() {
        assert_eq!(STEPS.matches("\n# Step ").count(), 10);
        let filled = STEPS
            .replace("{{gateway}}", "g")
            .replace("{{gateway_admin}}", "a")
            .replace("{{client_id}}", "i")
            .replace("{{client_secret}}", "s");
        assert!(!filled.contains("{{"));
        let checked = std::process::Command::new("/bin/sh").args(["-n", "-c", &filled]).output().unwrap();
        assert!(checked.status.success(), "{}", String::from_utf8_lossy(&checked.stderr));
    }
}
