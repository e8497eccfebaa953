//! What a login made of a session that a reset does not bring back (manual, "COM_RESET_CONNECTION").
//!
//! Found by looking at what MariaDB 10.11 and MySQL 9.7 do: MySQL forgets the character set of the login, both keep the
//! roles that a session has set, and neither runs `init_connect` again. MariaDB 12 keeps whom SET SESSION AUTHORIZATION
//! has made of the session's user, and a statement that stands behind another one is not seen: so it is asked who that
//! is, and a link on which it is another user is closed.

use crate::hello::Flavour;
use crate::question::Wording;
use crate::restriction;

/// The server's role, and then what the session has. A server before version 8 of MySQL, or 10.0.5 of MariaDB, knows no
/// roles and takes their column for a comment. In octets, for a name may have any, and comes in the client's letters.
pub(crate) const QUESTION: Wording = Wording {
    sql: "select @@global.read_only, @@global.innodb_read_only, @@character_set_client, @@character_set_results, \
          @@collation_connection, @@global.init_connect /*!80000 , current_role() */ \
          /*M!100005 , current_role(), hex(concat(user(),current_user())) */",
    columns: 6..=8,
};

/// The statements that bring back what a session had when it began.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Start {
    pub(crate) statements: Vec<Vec<u8>>,
}

impl Start {
    /// From the answer, without the server's role. `None` where not everything can be brought back.
    pub(crate) fn of(row: &[Option<Vec<u8>>], flavour: Flavour) -> Option<Self> {
        let [client, results, collation, init, roles @ ..] = row else { return None };
        let client = client.as_deref().filter(|name| is_name(name))?;
        let collation = collation.as_deref().filter(|name| is_name(name))?;
        let results = results.as_deref().unwrap_or(b"NULL");
        if !is_name(results) || init.as_deref() != Some(b"") {
            return None;
        }
        let names: &[&[u8]] = &[
            b"SET character_set_client=",
            client,
            b",character_set_results=",
            results,
            b",collation_connection=",
            collation,
        ];
        let mut statements = vec![names.concat()];
        match roles {
            [] => {}
            [role] => statements.push(set_role(role.as_deref(), flavour)),
            [role, user] => {
                statements.push(same_user(user.as_deref()?)?);
                statements.push(set_role(role.as_deref(), flavour));
            }
            [..] => return None,
        }
        Some(Self { statements })
    }

    /// The same, of a session that only reads.
    pub(crate) fn restricted(mut self) -> Self {
        self.statements.push(restriction::STATEMENT.to_vec());
        self
    }
}

/// Changes nothing, and fails where the session's user is another one: no collation has such a name.
fn same_user(hex: &[u8]) -> Option<Vec<u8>> {
    let is_hex = !hex.is_empty() && hex.iter().all(u8::is_ascii_hexdigit);
    let (before, behind) = (
        &b"SET collation_connection=IF(HEX(CONCAT(USER(),CURRENT_USER()))='"[..],
        &b"',@@collation_connection,'?')"[..],
    );
    is_hex.then(|| [before, hex, behind].concat())
}

/// MySQL tells roles as a statement has them, MariaDB tells one as it is called.
fn set_role(role: Option<&[u8]>, flavour: Flavour) -> Vec<u8> {
    let role = match (role, flavour) {
        (None, _) => b"NONE".to_vec(),
        (Some(roles), Flavour::MySql) => roles.to_vec(),
        (Some(role), Flavour::MariaDb) => quoted(role),
    };
    [b"SET ROLE ", &role[..]].concat()
}

fn quoted(name: &[u8]) -> Vec<u8> {
    let doubled = name.iter().flat_map(|byte| std::iter::repeat_n(*byte, if *byte == b'`' { 2 } else { 1 }));
    std::iter::once(b'`').chain(doubled).chain(std::iter::once(b'`')).collect()
}

/// Of a character set or a collation.
fn is_name(name: &[u8]) -> bool {
    !name.is_empty() && name.iter().all(|byte| byte.is_ascii_alphanumeric() || *byte == b'_')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn statements(row: &[Option<&str>], flavour: Flavour) -> Option<Vec<String>> {
        let row: Vec<_> = row.iter().map(|value| value.map(|text| text.as_bytes().to_vec())).collect();
        let text = |statement: &Vec<u8>| String::from_utf8_lossy(statement).into_owned();
        Some(Start::of(&row, flavour)?.statements.iter().map(text).collect())
    }

    const NAMES: [Option<&str>; 3] = [Some("utf8mb4"), Some("utf8mb4"), Some("utf8mb4_bin")];
    const SET: &str =
        "SET character_set_client=utf8mb4,character_set_results=utf8mb4,collation_connection=utf8mb4_bin";

    fn with_role(role: Option<&str>, flavour: Flavour) -> String {
        let statements = statements(&[&NAMES[..], &[Some(""), role]].concat(), flavour).unwrap();
        assert_eq!((statements.len(), statements[0].as_str()), (2, SET));
        statements[1].clone()
    }

    #[test]
    fn character_set_and_roles_are_brought_back() {
        assert_eq!(with_role(Some("NONE"), Flavour::MySql), "SET ROLE NONE");
        assert_eq!(with_role(Some("`a`@`%`,`b`@`%`"), Flavour::MySql), "SET ROLE `a`@`%`,`b`@`%`");
        assert_eq!(with_role(None, Flavour::MariaDb), "SET ROLE NONE");
        assert_eq!(with_role(Some("a`b"), Flavour::MariaDb), "SET ROLE `a``b`");
        let old = statements(&[&NAMES[..], &[Some("")]].concat(), Flavour::MySql);
        assert_eq!(old, Some(vec![SET.to_owned()]));
        let results =
            statements(&[Some("latin1"), None, Some("latin1_bin"), Some("")], Flavour::MySql).unwrap();
        assert!(results[0].contains("character_set_results=NULL"), "{results:?}");
    }

    #[test]
    fn of_mariadb_the_user_has_to_be_the_same() {
        let row = |user| [&NAMES[..], &[Some(""), Some("a"), user]].concat();
        let user = "SET collation_connection=IF(HEX(CONCAT(USER(),CURRENT_USER()))='614062',@@collation_connection,'?')";
        assert_eq!(statements(&row(Some("614062")), Flavour::MariaDb).unwrap(), [SET, user, "SET ROLE `a`"]);
        for odd in [None, Some(""), Some("61'"), Some("a@b")] {
            assert_eq!(statements(&row(odd), Flavour::MariaDb), None, "{odd:?}");
        }
    }

    #[test]
    fn what_cannot_be_brought_back_is_none() {
        for row in [
            [&NAMES[..], &[Some(""), None, Some("61"), None]].concat(),
            vec![],
            vec![Some("utf8mb4"); 3],
            vec![Some("utf8mb4"), Some("utf8mb4"), Some("utf8mb4_bin"), Some("set @x = 1")],
            vec![Some("utf8mb4"), Some("utf8mb4"), Some("utf8mb4_bin"), None],
            vec![Some("utf8;mb4"), Some("utf8mb4"), Some("utf8mb4_bin"), Some("")],
            vec![None, Some("utf8mb4"), Some("utf8mb4_bin"), Some("")],
        ] {
            assert_eq!(statements(&row, Flavour::MySql), None, "{row:?}");
        }
    }
}
