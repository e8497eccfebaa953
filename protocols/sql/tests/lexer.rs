//! Tokens of both kinds of SQL, and of anything else.

use attache_sql::{Comments, Dialect, Dollars, Escapes, Foreign, Holds, Lexer, Prefix, Quote, Token};
use proptest::prelude::*;

const TEXT: Quote = Quote { mark: b'\'', holds: Holds::Text, escapes: Escapes::None };
const NAME: Quote = Quote { mark: b'"', holds: Holds::Name, escapes: Escapes::None };
const UNICODE: Escapes = Escapes::Unicode;

const POSTGRES: Dialect = Dialect {
    quotes: &[TEXT, NAME],
    prefixes: &[
        Prefix { letters: b"e", quote: Quote { escapes: Escapes::Numbers, ..TEXT } },
        Prefix { letters: b"u&", quote: Quote { escapes: UNICODE, ..TEXT } },
        Prefix { letters: b"u&", quote: Quote { escapes: UNICODE, ..NAME } },
    ],
    dollars: Dollars::Quote,
    comments: Comments::Nested,
    foreign: Foreign::Letters,
};

const MYSQL: Dialect = Dialect {
    quotes: &[
        Quote { escapes: Escapes::Letters, ..TEXT },
        Quote { mark: b'"', escapes: Escapes::Letters, ..TEXT },
        Quote { mark: b'`', ..NAME },
    ],
    prefixes: &[],
    dollars: Dollars::Letter,
    comments: Comments::Flat,
    foreign: Foreign::Blanks,
};

fn tokens(dialect: Dialect, sql: &str) -> Vec<String> {
    let shown = |token| match token {
        Token::Word(word) => format!("w:{}", word.escape_ascii()),
        Token::Text(text) => format!("t:{}", text.escape_ascii()),
        Token::Sign(sign) => format!("{}", sign.escape_ascii()),
    };
    Lexer::new(sql.as_bytes(), dialect).map(shown).collect()
}

#[test]
fn strings_names_and_comments_of_postgres_are_told_apart() {
    let tokens = |sql| tokens(POSTGRES, sql);
    assert_eq!(tokens("a 'b''c' \"d\"\"e\""), ["w:a", r"t:b\'c", r#"w:d\"e"#]);
    assert_eq!(tokens(r"'a\' b E'c\'d' e"), [r"t:a\\", "w:b", r"t:c\'d", "w:e"]);
    assert_eq!(tokens("$$a'b$$ $t$c$$d$t$ $1 e$f"), [r"t:a\'b", "t:c$$d", "w:$1", "w:e$f"]);
    assert_eq!(tokens("a--b\nc/*d/*e*/f*/g"), ["w:a", "w:c", "w:g"]);
    assert_eq!(tokens("a - b/c"), ["w:a", "-", "w:b", "/", "w:c"]);
    assert_eq!(tokens("1$$a;$$ $1$b$;$b$ $ 1e5 2a"), ["w:1", "t:a;", "w:$1", "t:;", "w:$", "w:1e5", "w:2a"]);
    assert_eq!(tokens("xe'a' u'b' u & 'c'"), ["w:xe", "t:a", "w:u", "t:b", "w:u", "&", "t:c"]);
}

#[test]
fn strings_names_and_comments_of_mysql_are_told_apart() {
    let tokens = |sql| tokens(MYSQL, sql);
    assert_eq!(tokens("a 'b''c', `d``e` \"f\\\"g\""), ["w:a", r"t:b\'c", ",", "w:d`e", r#"t:f\"g"#]);
    assert_eq!(tokens("a#b\nc-- d\ne--f"), ["w:a", "w:c", "w:e", "-", "-", "w:f"]);
    assert_eq!(tokens("a--\x01 'b\nc--"), ["w:a", "w:c"]);
    assert_eq!(tokens("a--é b"), ["w:a", "-", "-", "w:b"]);
    assert_eq!(tokens("a/*b/*c*/d"), ["w:a", "w:d"]);
    assert_eq!(tokens("@@session.x:=1"), ["@", "@", "w:session", ".", "w:x", ":", "=", "w:1"]);
    assert_eq!(tokens("a\u{a0}b $x"), ["w:a", "w:b", "w:$x"]);
}

#[test]
fn strings_in_a_row_are_one() {
    assert_eq!(tokens(POSTGRES, "'a' -- x\n 'b' E'\\x63'\n'\\x64'"), ["t:ab", "t:cd"]);
    assert_eq!(tokens(MYSQL, "'a' \"b\"/* x */'c' `d` `e`"), ["t:abc", "w:d", "w:e"]);
}

#[test]
fn escapes_are_read_as_the_server_reads_them() {
    assert_eq!(tokens(POSTGRES, r"E'\x61\142\u0063\U00000064\e\n\''"), [r"t:abcde\n\'"]);
    assert_eq!(tokens(POSTGRES, r"E'\x \777'"), [r"t:x \xff"]);
    assert_eq!(tokens(POSTGRES, r#"U&'\0061\+000062\\' u&"\0063""#), [r"t:ab\\", "w:c"]);
    assert_eq!(tokens(POSTGRES, r"U&'!0061\' UESCAPE '!'"), [r"t:a\\", "w:UESCAPE", "t:!"]);
    assert_eq!(tokens(POSTGRES, "U&'!0061' '!0062' /* x */ uescape '!'"), ["t:ab", "w:uescape", "t:!"]);
    assert_eq!(tokens(MYSQL, r"'\a\n\'\%\\'"), [r"t:a\n\'\\%\\"]);
}

#[test]
fn what_has_no_end_goes_to_the_end() {
    for sql in [
        "'a",
        "E'a\\",
        "\"a",
        "$$a",
        "$x$a$x",
        "/* a /*",
        "-- a",
        "$",
        "$x",
        "x'",
        "U&'\\00",
        "u&'a' uescape",
    ] {
        // It ends, and takes nothing twice.
        assert!(tokens(POSTGRES, sql).len() <= 2, "{sql}");
    }
    for sql in ["'a", "'a\\", "`a", "/* a", "/*", "-- a", "--", "#"] {
        assert!(tokens(MYSQL, sql).len() <= 1, "{sql}");
    }
}

/// Text with what matters in it more often than chance would have it.
fn texts() -> impl Strategy<Value = Vec<u8>> {
    let piece = prop_oneof![
        prop::sample::select(vec![
            "'",
            "\"",
            "`",
            "$",
            "$a$",
            "\\",
            "/*",
            "*/",
            "--",
            "#",
            "\n",
            " ",
            "e",
            "u&",
            "uescape",
            "read write",
            ";",
            "\\x61",
        ])
        .prop_map(|piece| piece.as_bytes().to_vec()),
        prop::collection::vec(any::<u8>(), 0..3),
    ];
    prop::collection::vec(piece, 0..24).prop_map(|pieces| pieces.concat())
}

proptest! {
    #[test]
    fn any_text_has_an_end_and_tokens_are_no_longer_than_it(sql in texts()) {
        for dialect in [POSTGRES, MYSQL] {
            let mut len = 0;
            for token in Lexer::new(&sql, dialect) {
                len += match token {
                    Token::Word(content) | Token::Text(content) => content.len(),
                    Token::Sign(_) => 1,
                };
            }
            // The letter in place of one that does not exist is as long as the shortest way to ask for it.
            prop_assert!(len <= sql.len(), "{len}");
        }
    }

    #[test]
    fn what_is_put_in_quotes_comes_back(text in texts()) {
        let doubled = |text: &[u8], mark: u8| {
            text.iter().flat_map(|octet| std::iter::repeat_n(*octet, 1 + usize::from(*octet == mark))).collect::<Vec<_>>()
        };
        let standard = [b"'", &doubled(&text, b'\'')[..], b"'"].concat();
        prop_assert_eq!(Lexer::new(&standard, POSTGRES).collect::<Vec<_>>(), [Token::Text(text.clone().into())]);
        let name = [b"`", &doubled(&text, b'`')[..], b"`"].concat();
        prop_assert_eq!(Lexer::new(&name, MYSQL).collect::<Vec<_>>(), [Token::Word(text.into())]);
    }
}
