//! The configuration file: decided once, every fault reported at once with its line.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use claviger_engine::{ClockRule, Regions};
use claviger_policy::AccountId;
use claviger_server::{EgressRules, HostAndPort};
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use crate::quotas::{QuotaSettings, is_group};

/// Where the unseal secret comes from.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Unseal {
    /// A file outside the data directory.
    File(PathBuf),
    /// The first line of standard input.
    Passphrase,
}

/// How the AWS face is reached.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Transport {
    /// TLS with this certificate chain and key.
    Tls { certificate: PathBuf, key: PathBuf },
    /// Plain HTTP; the configuration named the risk.
    DangerPlaintext,
}

/// The configuration of `claviger server`, checked.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Config {
    pub(crate) listen: SocketAddr,
    pub(crate) observe_listen: Option<SocketAddr>,
    pub(crate) data: PathBuf,
    pub(crate) account: AccountId,
    /// The Regions that are served.
    pub(crate) regions: Regions,
    /// How far the clock is believed.
    pub(crate) clock_rule: ClockRule,
    pub(crate) transport: Transport,
    pub(crate) unseal: Unseal,
    pub(crate) every_record: bool,
    /// PEM files with the roots of attestation documents, instead of AWS's.
    pub(crate) attestation_roots: Vec<PathBuf>,
    /// What may be reached beyond public hosts.
    pub(crate) egress: EgressRules,
    /// How often accounts may call, and how much they may have.
    pub(crate) quotas: QuotaSettings,
    /// The SHA-256 of the file, for the first audit record after a start.
    pub(crate) digest: String,
}

/// Reads and checks the file.
///
/// # Errors
/// Every fault, one a line, as `FILE:LINE: what`.
pub(crate) fn read(file: &Path) -> Result<Config, String> {
    let text = std::fs::read_to_string(file).map_err(|error| format!("{}: {error}", file.display()))?;
    let base = file.parent().unwrap_or_else(|| Path::new(""));
    parse(&text, base).map_err(|faults| {
        let lines: Vec<String> =
            faults.iter().map(|(line, what)| format!("{}:{line}: {what}", file.display())).collect();
        format!("the configuration is not right:\n{}", lines.join("\n"))
    })
}

type Faults = Vec<(usize, String)>;

struct Reading<'t> {
    text: &'t str,
    base: &'t Path,
    faults: Faults,
}

impl Reading<'_> {
    fn fault(&mut self, at: usize, what: impl Into<String>) {
        let line = self.text.get(..at).unwrap_or_default().bytes().filter(|byte| *byte == b'\n').count() + 1;
        self.faults.push((line, what.into()));
    }

    fn known(&mut self, table: &DeTable<'_>, within: &str, names: &[&str]) {
        for key in table.keys() {
            let name: &str = key.get_ref();
            if !names.contains(&name) {
                let at = key.span().start;
                self.fault(at, format!("{within}{name} is not a setting; there are {}", names.join(", ")));
            }
        }
    }

    fn text_of<'v>(&mut self, table: &'v DeTable<'_>, name: &str) -> Option<(&'v str, usize)> {
        let value = table.get(name)?;
        let at = value.span().start;
        match value.get_ref() {
            DeValue::String(text) => Some((text, at)),
            _ => {
                self.fault(at, format!("{name} must be a text"));
                None
            }
        }
    }

    fn path_of(&mut self, table: &DeTable<'_>, name: &str) -> Option<(PathBuf, usize)> {
        let (text, at) = self.text_of(table, name)?;
        Some((self.base.join(text), at))
    }

    fn address_of(&mut self, table: &DeTable<'_>, name: &str) -> Option<SocketAddr> {
        let (text, at) = self.text_of(table, name)?;
        let parsed = text.parse().ok();
        if parsed.is_none() {
            self.fault(at, format!("{name} must be an address and a port, such as 127.0.0.1:8443"));
        }
        parsed
    }

    fn texts_of<'v>(&mut self, table: &'v DeTable<'_>, name: &str, otherwise: &str) -> Vec<(&'v str, usize)> {
        let Some(value) = table.get(name) else { return Vec::new() };
        let DeValue::Array(entries) = value.get_ref() else {
            self.fault(value.span().start, otherwise);
            return Vec::new();
        };
        let mut texts = Vec::new();
        for entry in entries {
            let at = entry.span().start;
            match entry.get_ref() {
                DeValue::String(text) => texts.push((&**text, at)),
                _ => self.fault(at, otherwise),
            }
        }
        texts
    }

    fn bool_of(&mut self, table: &DeTable<'_>, name: &str) -> bool {
        let Some(value) = table.get(name) else { return false };
        if let DeValue::Boolean(value) = value.get_ref() {
            return *value;
        }
        self.fault(value.span().start, format!("{name} must be true or false"));
        false
    }

    fn number_of(&mut self, value: &Spanned<DeValue<'_>>, name: &str) -> Option<u32> {
        let number = match value.get_ref() {
            DeValue::Integer(number) => u32::from_str_radix(number.as_str(), number.radix()).ok(),
            _ => None,
        };
        if number.is_none_or(|number| number == 0) {
            self.fault(value.span().start, format!("{name} must be a whole number from 1 to {}", u32::MAX));
            return None;
        }
        number
    }

    /// Requests a second by group.
    fn rates_of(&mut self, table: &DeTable<'_>, within: &str, besides: &[&str]) -> Vec<(String, u32)> {
        let mut rates = Vec::new();
        for (key, value) in table {
            let name: &str = key.get_ref();
            if besides.contains(&name) {
                continue;
            }
            if !is_group(name) {
                self.fault(key.span().start, format!("{within}{name} is not a quota; docs/QUOTAS.md lists them"));
            } else if let Some(rate) = self.number_of(value, &format!("{within}{name}")) {
                rates.push((name.to_owned(), rate));
            }
        }
        rates
    }

    fn table_of<'v, 'd>(&mut self, table: &'v DeTable<'d>, name: &str) -> Option<(&'v DeTable<'d>, usize)> {
        let value = table.get(name)?;
        let at = value.span().start;
        match value.get_ref() {
            DeValue::Table(inner) => Some((inner, at)),
            _ => {
                self.fault(at, format!("{name} must be a table"));
                None
            }
        }
    }
}

fn parse(text: &str, base: &Path) -> Result<Config, Faults> {
    let mut reading = Reading { text, base, faults: Vec::new() };
    let table = match DeTable::parse(text) {
        Ok(table) => table,
        Err(error) => {
            reading.fault(error.span().map_or(0, |span| span.start), error.message());
            return Err(reading.faults);
        }
    };
    let table: &DeTable<'_> = Spanned::get_ref(&table);
    let names = [
        "listen",
        "observe_listen",
        "data",
        "account",
        "regions",
        "clock",
        "tls",
        "unseal",
        "audit",
        "attestation",
        "egress",
        "quotas",
        "danger_plaintext_http",
    ];
    reading.known(table, "", &names);
    let listen = reading.address_of(table, "listen");
    let observe_listen = reading.address_of(table, "observe_listen");
    let data = reading.path_of(table, "data").map(|(path, _)| path);
    for (name, missing) in [("listen", listen.is_none()), ("data", data.is_none())] {
        if missing && !table.contains_key(name) {
            reading.fault(0, format!("{name} is missing"));
        }
    }
    let account = account(&mut reading, table);
    let regions = regions(&mut reading, table);
    let clock_rule = clock(&mut reading, table);
    let transport = transport(&mut reading, table);
    let unseal = unseal(&mut reading, table, data.as_deref());
    let every_record = audit(&mut reading, table);
    let attestation_roots = attestation(&mut reading, table);
    let egress = egress(&mut reading, table);
    let quotas = quotas(&mut reading, table);
    let digest = claviger_crypto::sha256(text.as_bytes()).iter().map(|byte| format!("{byte:02x}")).collect();
    match (listen, data, account, regions, transport, unseal) {
        (Some(listen), Some(data), Some(account), Some(regions), Some(transport), Some(unseal))
            if reading.faults.is_empty() =>
        {
            Ok(Config {
                listen,
                observe_listen,
                data,
                account,
                regions,
                clock_rule,
                transport,
                unseal,
                every_record,
                attestation_roots,
                egress,
                quotas,
                digest,
            })
        }
        _ => {
            reading.faults.sort();
            Err(reading.faults)
        }
    }
}

fn account(reading: &mut Reading<'_>, table: &DeTable<'_>) -> Option<AccountId> {
    let Some((text, at)) = reading.text_of(table, "account") else {
        if !table.contains_key("account") {
            reading.fault(0, "account is missing: the 12 digits of the first account");
        }
        return None;
    };
    let parsed = AccountId::parse(text);
    if parsed.is_none() {
        reading.fault(at, "account must be 12 digits");
    }
    parsed
}

fn regions(reading: &mut Reading<'_>, table: &DeTable<'_>) -> Option<Regions> {
    let otherwise = "regions takes a list of names, such as [\"eu-central-1\"]";
    let Some(value) = table.get("regions") else {
        reading.fault(0, "regions is missing: the Regions that are served, such as [\"eu-central-1\"]");
        return None;
    };
    let named = reading.texts_of(table, "regions", otherwise);
    if named.is_empty() {
        reading.fault(value.span().start, otherwise);
    }
    for (name, at) in &named {
        if !Regions::is_name(name) {
            reading.fault(
                *at,
                format!("regions: {name:?} is no name of a Region: lower-case letters, digits and hyphens"),
            );
        }
    }
    Regions::these(named.iter().map(|(name, _)| (*name).to_owned())).ok()
}

/// `[clock] downtime_days`: how long a downtime explains by itself how far the clock has come.
fn clock(reading: &mut Reading<'_>, table: &DeTable<'_>) -> ClockRule {
    let mut rule = ClockRule::default();
    let Some((clock, _)) = reading.table_of(table, "clock") else { return rule };
    reading.known(clock, "clock.", &["downtime_days"]);
    let days = clock.get("downtime_days").and_then(|days| reading.number_of(days, "clock.downtime_days"));
    if let Some(days) = days {
        rule.downtime_max_millis = i64::from(days).saturating_mul(86_400_000);
    }
    rule
}

fn transport(reading: &mut Reading<'_>, table: &DeTable<'_>) -> Option<Transport> {
    let plaintext = reading.bool_of(table, "danger_plaintext_http");
    let Some((tls, at)) = reading.table_of(table, "tls") else {
        if plaintext {
            return Some(Transport::DangerPlaintext);
        }
        reading.fault(0, "[tls] is missing; danger_plaintext_http = true serves without it");
        return None;
    };
    reading.known(tls, "tls.", &["certificate", "key"]);
    let certificate = reading.path_of(tls, "certificate");
    let key = reading.path_of(tls, "key");
    match (certificate, key) {
        (Some((certificate, _)), Some((key, _))) if !plaintext => Some(Transport::Tls { certificate, key }),
        (Some(_), Some(_)) => {
            reading.fault(at, "[tls] and danger_plaintext_http exclude each other");
            None
        }
        _ => {
            reading.fault(at, "[tls] needs certificate and key");
            None
        }
    }
}

fn unseal(reading: &mut Reading<'_>, table: &DeTable<'_>, data: Option<&Path>) -> Option<Unseal> {
    let Some((unseal, at)) = reading.table_of(table, "unseal") else {
        reading.fault(0, "[unseal] is missing: file = \"...\" or passphrase = \"stdin\"");
        return None;
    };
    reading.known(unseal, "unseal.", &["file", "passphrase"]);
    match (reading.path_of(unseal, "file"), reading.text_of(unseal, "passphrase")) {
        (Some((file, at)), None) => {
            if data.is_some_and(|data| is_within(&file, data)) {
                reading.fault(at, "unseal.file is inside the data directory: a thief of one would have both");
                return None;
            }
            Some(Unseal::File(file))
        }
        (None, Some(("stdin", _))) => Some(Unseal::Passphrase),
        (None, Some((_, at))) => {
            reading.fault(at, "unseal.passphrase must be \"stdin\": it is read from there, never from a file");
            None
        }
        _ => {
            reading.fault(at, "[unseal] needs either file or passphrase");
            None
        }
    }
}

/// Whether a path lies in a directory, links followed as far as the paths exist.
fn is_within(file: &Path, directory: &Path) -> bool {
    // A bare name has an empty parent: the current directory.
    let real = |path: &Path| {
        let path = if path.as_os_str().is_empty() { Path::new(".") } else { path };
        std::fs::canonicalize(path).or_else(|_| std::path::absolute(path))
    };
    let holder = file.parent().map(real);
    let file = real(file);
    let Ok(directory) = real(directory) else { return true };
    let inside = |path: Option<std::io::Result<PathBuf>>| {
        path.and_then(Result::ok).is_none_or(|path| path.starts_with(&directory))
    };
    inside(Some(file)) || inside(holder)
}

fn audit(reading: &mut Reading<'_>, table: &DeTable<'_>) -> bool {
    let Some((audit, _)) = reading.table_of(table, "audit") else { return false };
    reading.known(audit, "audit.", &["sync"]);
    match reading.text_of(audit, "sync") {
        Some(("every-record", _)) => true,
        Some(("interval", _)) | None => false,
        Some((_, at)) => {
            reading.fault(at, "audit.sync must be \"interval\" or \"every-record\"");
            false
        }
    }
}

fn attestation(reading: &mut Reading<'_>, table: &DeTable<'_>) -> Vec<PathBuf> {
    let Some((attestation, at)) = reading.table_of(table, "attestation") else { return Vec::new() };
    reading.known(attestation, "attestation.", &["roots"]);
    let roots = reading.texts_of(attestation, "roots", "attestation.roots takes file names");
    if roots.is_empty() {
        reading.fault(at, "[attestation] needs roots, a list of PEM files");
    }
    roots.iter().map(|(file, _)| reading.base.join(file)).collect()
}

fn egress(reading: &mut Reading<'_>, table: &DeTable<'_>) -> EgressRules {
    let mut rules = EgressRules::default();
    let Some((egress, _)) = reading.table_of(table, "egress") else { return rules };
    reading.known(egress, "egress.", &["allow", "roots"]);
    for (text, at) in reading.texts_of(egress, "allow", "egress.allow takes a list of HOST:PORT") {
        match HostAndPort::parse(text) {
            Some(host) => rules.allowed.push(host),
            None => reading.fault(at, "egress.allow takes a list of HOST:PORT"),
        }
    }
    let roots = reading.texts_of(egress, "roots", "egress.roots takes a list of PEM files");
    rules.roots = roots.iter().map(|(file, _)| reading.base.join(file)).collect();
    rules
}

fn quotas(reading: &mut Reading<'_>, table: &DeTable<'_>) -> QuotaSettings {
    let mut settings = QuotaSettings::default();
    let Some((quotas, _)) = reading.table_of(table, "quotas") else { return settings };
    if quotas.contains_key("requests") {
        settings.requests = reading.bool_of(quotas, "requests");
    }
    if let Some(keys) = quotas.get("keys") {
        settings.keys = reading.number_of(keys, "quotas.keys").map(u64::from);
    }
    settings.rates = reading.rates_of(quotas, "quotas.", &["requests", "keys", "accounts"]);
    let Some((accounts, _)) = reading.table_of(quotas, "accounts") else { return settings };
    for (account, rates) in accounts {
        let name: &str = account.get_ref();
        match rates.get_ref() {
            DeValue::Table(rates) if AccountId::parse(name).is_some() => {
                let rates = reading.rates_of(rates, &format!("quotas.accounts.{name}."), &[]);
                settings.account_rates.extend(rates.into_iter().map(|(group, rate)| (name.to_owned(), group, rate)));
            }
            _ => reading.fault(account.span().start, "quotas.accounts holds a table for each account of 12 digits"),
        }
    }
    settings
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use super::*;

    const SOUND: &str = r#"
listen = "127.0.0.1:8443"
data = "/var/lib/claviger"
account = "111122223333"
regions = ["eu-central-1"]
[tls]
certificate = "tls.crt"
key = "tls.key"
[unseal]
file = "/etc/claviger/unseal.key"
"#;

    #[test]
    fn a_sound_file_is_taken() {
        let config = parse(SOUND, Path::new("/etc/claviger")).unwrap();
        assert_eq!(config.account.as_str(), "111122223333");
        let (certificate, key) = ("/etc/claviger/tls.crt".into(), "/etc/claviger/tls.key".into());
        assert_eq!(config.transport, Transport::Tls { certificate, key });
        assert_eq!(config.unseal, Unseal::File("/etc/claviger/unseal.key".into()));
        assert!(!config.every_record);
    }

    #[test]
    fn every_fault_is_told_at_once_with_its_line() {
        let text = "listen = \"nowhere\"\ndata = 3\nacount = \"1\"\n[unseal]\npassphrase = \"hunter2\"\n";
        let faults = parse(text, Path::new("")).unwrap_err();
        let lines: Vec<usize> = faults.iter().map(|(line, _)| *line).collect();
        assert_eq!(lines, [1, 1, 1, 1, 2, 3, 5], "{faults:?}");
        assert!(!format!("{faults:?}").contains("hunter2"), "a secret in the wrong place must not be repeated");
    }

    #[test]
    fn a_secret_inside_the_data_directory_is_refused() {
        let text = SOUND.replace("/etc/claviger/unseal.key", "/var/lib/claviger/../claviger/unseal.key");
        let faults = parse(&text.replace("/../claviger", ""), Path::new("")).unwrap_err();
        assert!(faults.iter().any(|(_, what)| what.contains("inside the data directory")), "{faults:?}");
    }

    #[test]
    fn a_secret_beside_the_configuration_is_taken() {
        let text = SOUND.replace("/etc/claviger/unseal.key", "unseal.key");
        assert_eq!(parse(&text, Path::new("")).unwrap().unseal, Unseal::File("unseal.key".into()));
    }

    #[test]
    fn attestation_roots_are_a_list_of_files() {
        assert!(parse(SOUND, Path::new("")).unwrap().attestation_roots.is_empty());
        let text = format!("{SOUND}[attestation]\nroots = [\"a.pem\", \"/b.pem\"]\n");
        let files = parse(&text, Path::new("/etc/claviger")).unwrap().attestation_roots;
        assert_eq!(files, [PathBuf::from("/etc/claviger/a.pem"), PathBuf::from("/b.pem")]);
        for bad in ["roots = []", "roots = \"a.pem\"", "roots = [1]", "root = [\"a.pem\"]"] {
            assert!(parse(&format!("{SOUND}[attestation]\n{bad}\n"), Path::new("")).is_err(), "{bad}");
        }
    }

    #[test]
    fn quotas_are_awss_unless_set() {
        let quotas = |text: &str| parse(&format!("{SOUND}{text}"), Path::new("")).map(|config| config.quotas);
        assert_eq!(quotas("").unwrap(), QuotaSettings::default());
        assert!(quotas("").unwrap().requests && !quotas("[quotas]\nrequests = false\n").unwrap().requests);
        let text = "[quotas]\nkeys = 7\nSymmetric = 20\nGenerateDataKeyPair-RSA_2048 = 3\n\
                    [quotas.accounts.444455556666]\nCreateKey = 50\n";
        let mut set = quotas(text).unwrap();
        set.rates.sort();
        assert_eq!(set.keys, Some(7));
        assert_eq!(set.rates, [("GenerateDataKeyPair-RSA_2048".to_owned(), 3), ("Symmetric".to_owned(), 20)]);
        assert_eq!(set.account_rates, [("444455556666".to_owned(), "CreateKey".to_owned(), 50)]);
        let bad = [
            "Encrypt = 5",
            "Symmetric = 0",
            "Symmetric = 1.5",
            "Symmetric = -1",
            "Symmetric = \"9\"",
            "keys = 0",
            "requests = 1",
            "accounts = 3",
            "[quotas.accounts.12]\nRSA = 1",
            "[quotas.accounts.444455556666]\nkeys = 1",
        ];
        for bad in bad {
            assert!(quotas(&format!("[quotas]\n{bad}\n")).is_err(), "{bad}");
        }
    }

    #[test]
    fn regions_are_named() {
        let regions = |line: &str| {
            let text = SOUND.replace("regions = [\"eu-central-1\"]", line);
            parse(&text, Path::new("")).map(|config| config.regions)
        };
        let two = regions("regions = [\"us-west-2\", \"eu-central-1\"]").unwrap();
        assert_eq!(two.names().collect::<Vec<_>>(), ["eu-central-1", "us-west-2"]);
        for bad in ["", "[]", "\"eu-central-1\"", "[1]", "[\"\"]", "[\"EU\"]", "[\"eu-west-1\", \"a/b\"]", "[\"*\"]"] {
            let line = if bad.is_empty() { String::new() } else { format!("regions = {bad}") };
            assert!(regions(&line).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_downtime_is_plausible_for_some_days() {
        let rule = |text: &str| parse(&format!("{SOUND}{text}"), Path::new("")).map(|config| config.clock_rule);
        assert_eq!(rule("").unwrap(), ClockRule::default());
        let week = rule("[clock]\ndowntime_days = 7\n").unwrap();
        assert_eq!(week, ClockRule { downtime_max_millis: 7 * 86_400_000, ..ClockRule::default() });
        for bad in ["downtime_days = 0", "downtime_days = -1", "downtime_days = \"7\"", "leap = 1"] {
            assert!(rule(&format!("[clock]\n{bad}\n")).is_err(), "{bad}");
        }
    }

    #[test]
    fn egress_names_hosts_with_ports() {
        assert_eq!(parse(SOUND, Path::new("")).unwrap().egress, EgressRules::default());
        let text = format!("{SOUND}[egress]\nallow = [\"10.0.0.1:6443\", \"issuer.svc:443\"]\nroots = [\"ca.pem\"]\n");
        let rules = parse(&text, Path::new("/etc/claviger")).unwrap().egress;
        let hosts: Vec<_> = rules.allowed.iter().map(|one| (one.host.as_str(), one.port)).collect();
        assert_eq!(hosts, [("10.0.0.1", 6443), ("issuer.svc", 443)]);
        assert_eq!(rules.roots, [PathBuf::from("/etc/claviger/ca.pem")]);
        assert!(rules.danger_plain.is_empty());
        for bad in ["allow = \"a:1\"", "allow = [\"a\"]", "allow = [1]", "roots = \"a\"", "plain = [\"a:1\"]"] {
            assert!(parse(&format!("{SOUND}[egress]\n{bad}\n"), Path::new("")).is_err(), "{bad}");
        }
    }

    #[test]
    fn plaintext_must_be_named() {
        let text = SOUND.replace("[tls]\ncertificate = \"tls.crt\"\nkey = \"tls.key\"\n", "");
        assert!(parse(&text, Path::new("")).is_err());
        let named = format!("danger_plaintext_http = true\n{text}");
        assert_eq!(parse(&named, Path::new("")).unwrap().transport, Transport::DangerPlaintext);
    }
}
