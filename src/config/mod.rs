pub mod domain;
#[derive(Clone, Copy)]
pub struct ProtocolFacts {
    pub name: &'static str,
    pub default_port: Option<u16>,
    pub negotiates_tls: bool,
    pub needs_user: bool,
    pub check_options: fn(&serde_json::Value) -> Result<(), String>,
    pub options_schema: fn() -> schemars::Schema,
}
