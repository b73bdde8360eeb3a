//! What each kind of substitution gives.

use super::*;

fn variable(name: &str) -> Option<String> {
    let value = match name {
        "NAME" => "Hello World",
        "PATH_" => "a/b/c.tar.gz",
        "EMPTY" => "",
        "N" => "6",
        "LINES" => "one\ntwo",
        _ => return None,
    };
    Some(value.to_owned())
}

#[track_caller]
fn gives(source: &str, wanted: &str) {
    let done = substitute(source, &variable).unwrap();
    assert_eq!(done.text, wanted, "{source}");
}

#[test]
fn values_and_defaults() {
    gives("<${NAME}>", "<Hello World>");
    gives("<${UNSET}${EMPTY}>", "<>");
    gives("${UNSET:-a b}", "a b");
    gives("${EMPTY:-x}${NAME:-x}", "xHello World");
    gives("${UNSET:=x}${UNSET=y}", "xy");
    gives("${UNSET:-}", "");
    gives("${UNSET:-a${N}b${OTHER:-c}}", "a6bc");
    gives("${UNSET:-http://127.0.0.1:8080/}", "http://127.0.0.1:8080/");
}

#[test]
fn some_defaults_are_not_what_a_shell_makes_of_them() {
    gives("${UNSET:?must be set}", "must be set");
    gives("${UNSET:+x}${NAME:+x}", "xHello World");
}

#[test]
fn what_is_no_substitution_stays() {
    gives("$NAME $ {NAME} a$", "$NAME $ {NAME} a$");
    gives("$${NAME} $$", "${NAME} $");
    gives(r"C:\\dir \/ \n \", r"C:\dir / \n \");
    gives("ä${N}ö", "ä6ö");
}

#[test]
fn lengths_parts_and_cases() {
    gives("${#NAME}", "11");
    gives("${NAME:6}", "World");
    gives("${NAME:${N}}", "World");
    gives("${NAME:-5}", "Hello World");
    gives("${NAME:0:5}", "Hello");
    gives("${NAME:6:100}|${NAME:100}|${NAME:100:1}", "World||");
    gives("${NAME:x}|${NAME:1:x}", "Hello World|Hello World");
    gives("${NAME:3:-9}", "");
    gives("${NAME^^}|${NAME,,}", "HELLO WORLD|hello world");
    gives("${NAME,}|${NAME^}|${EMPTY^}", "hello World|Hello World|");
}

#[test]
fn replacing_and_trimming() {
    gives("${NAME/o/0}|${NAME//o/0}", "Hell0 World|Hell0 W0rld");
    gives("${NAME//o/}|${NAME/Hello //}", "Hell Wrld|World");
    gives(
        "${NAME/#Hello/Bye}|${NAME/#World/x}",
        "Bye World|Hello World",
    );
    gives("${NAME/%World/x}|${NAME/%Hello/x}", "Hello x|Hello World");
    gives(r"${PATH_//\//-}", "a-b-c.tar.gz");
    gives("${PATH_#*/}|${PATH_##*/}", "b/c.tar.gz|c.tar.gz");
    gives("${PATH_%.*}|${PATH_%%.*}", "a/b/c.tar|a/b/c");
}

#[test]
fn a_bad_one_says_where_it_begins() {
    for (source, why) in [
        ("ab${", "name"),
        ("ab${}", "name"),
        ("ab${NAME", "closing brace"),
        ("ab${NAME-x}", "${NAME:-default}"),
        ("ab${NAME x}", "closing brace"),
        ("ab${UNSET:-x", "not complete"),
        ("ab${UNSET:-${}}", "name"),
        ("ab${NAME/o}", "what to replace with"),
        ("ab${NAME:}", "not complete"),
        ("ab${#}", "name"),
    ] {
        let wrong = substitute(source, &variable).unwrap_err();
        assert_eq!(wrong.at, 2, "{source}");
        assert!(wrong.message.contains(why), "{source}: {}", wrong.message);
    }
}

#[test]
fn every_place_leads_back_to_its_source() {
    let source = "a: ${LINES}\nb: $${x} \\\\ c\nd: ${N}${N} e";
    let done = substitute(source, &variable).unwrap();
    assert_eq!(done.text, "a: one\ntwo\nb: ${x} \\ c\nd: 66 e");
    for needle in ["a:", "b:", "x}", " c", "d:", " e"] {
        let out = done.text.find(needle).unwrap();
        assert_eq!(
            done.source_of(out),
            source.rfind(needle).unwrap(),
            "{needle}"
        );
    }
    assert_eq!(done.source_of(done.text.find("two").unwrap()), 3);
    let both = source.find("${N}").unwrap();
    assert_eq!(done.source_of(done.text.find("66").unwrap()), both);
    assert_eq!(done.source_of(done.text.find("6 ").unwrap()), both + 4);
    assert_eq!(done.source_of(done.text.len()), source.len());
}
