//! The harness's own reading of RESP2 and RESP3: tests assert wire shapes with it, so it must tell all of them apart.

use modq_testkit::wire::{Cursor, push, request};
use modq_testkit::*;

#[track_caller]
fn parse(mut wire: &[u8]) -> Value {
    let value = Value::read(&mut wire).expect("valid RESP");
    assert!(wire.is_empty(), "left over: {}", wire.escape_ascii());
    value
}

#[test]
fn resp2_shapes() {
    assert_eq!(parse(b"+OK\r\n"), ok());
    assert_eq!(parse(b"$2\r\nOK\r\n"), bulk("OK"));
    assert_ne!(parse(b"+OK\r\n"), parse(b"$2\r\nOK\r\n"));
    assert_eq!(parse(b":-42\r\n"), Value::Int(-42));
    assert_eq!(parse(b"$0\r\n\r\n"), bulk(""));
    assert_eq!(parse(b"$4\r\n\r\n\0\xff\r\n"), bulk(b"\r\n\0\xff"));
    assert_eq!(parse(b"*0\r\n"), arr![]);
    assert_eq!(
        parse(b"*3\r\n$1\r\na\r\n:1\r\n*1\r\n+OK\r\n"),
        arr!["a", 1, arr![ok()]]
    );
    assert_eq!(
        parse(b"-STALE the token is not the live lock's\r\n").err_code(),
        "STALE"
    );
}

#[test]
fn the_three_nulls_differ() {
    let nulls = [parse(b"$-1\r\n"), parse(b"*-1\r\n"), parse(b"_\r\n")];
    assert_eq!(nulls, [Value::NullBulk, Value::NullArray, Value::Null]);
    assert!(nulls.iter().all(Value::is_null));
    assert!(!bulk("").is_null() && !arr![].is_null());
}

#[test]
fn resp3_shapes() {
    assert_eq!(
        parse(b"%1\r\n$4\r\nlock\r\n:300000\r\n"),
        map! {"lock" => 300000}
    );
    assert_eq!(
        parse(b"~2\r\n$1\r\na\r\n$1\r\nb\r\n"),
        Value::Set(vec!["a".into(), "b".into()])
    );
    assert_eq!(
        parse(b">2\r\n+message\r\n:1\r\n"),
        Value::Push(vec![simple("message"), 1.into()])
    );
    assert_eq!(parse(b",1.5\r\n"), Value::Double(1.5));
    assert_eq!(parse(b",-inf\r\n"), Value::Double(f64::NEG_INFINITY));
    assert!(matches!(parse(b",nan\r\n"), Value::Double(d) if d.is_nan()));
    assert_eq!(
        (parse(b"#t\r\n"), parse(b"#f\r\n")),
        (Value::Bool(true), Value::Bool(false))
    );
    assert_eq!(
        parse(b"(340282366920938463463\r\n"),
        Value::BigNumber("340282366920938463463".into())
    );
    assert_eq!(
        parse(b"=8\r\ntxt:a\r\nb\r\n"),
        Value::Verbatim("txt".into(), b"a\r\nb".to_vec())
    );
    assert_eq!(parse(b"!8\r\nERR oops\r\n").err_code(), "ERR");
    assert_eq!(
        parse(b"|1\r\n+ttl\r\n:3600\r\n:7\r\n"),
        Value::Int(7),
        "attributes are skipped"
    );
}

#[test]
fn a_map_reads_the_same_in_both_protocols() {
    for wire in [
        &b"*4\r\n$1\r\na\r\n:1\r\n$1\r\nb\r\n:2\r\n"[..],
        b"%2\r\n$1\r\na\r\n:1\r\n$1\r\nb\r\n:2\r\n",
    ] {
        assert_eq!(parse(wire).field("b"), Value::Int(2));
    }
}

#[test]
fn what_is_no_resp_is_an_error() {
    let bad: [&[u8]; 12] = [
        b"",
        b"+OK",
        b"+OK\n",
        b"?\r\n",
        b":x\r\n",
        b"$-2\r\n",
        b"$3\r\nab\r\n",
        b"$1\r\nabc\r\n",
        b"*2\r\n:1\r\n",
        b"#x\r\n",
        b"_x\r\n",
        b"=2\r\nab\r\n",
    ];
    for wire in bad {
        assert!(Value::read(&mut &*wire).is_err(), "{}", wire.escape_ascii());
    }
}

#[test]
fn debug_shows_bytes_readably() {
    let value = parse(b"*4\r\n$3\r\na\0b\r\n+OK\r\n$-1\r\n:5\r\n");
    assert_eq!(
        format!("{value:?}"),
        r#"["a\x00b", simple("OK"), NullBulk, 5]"#
    );
}

#[test]
fn requests_are_arrays_of_bulk_strings() {
    let wire = b"*3\r\n$3\r\nSET\r\n$0\r\n\r\n$12\r\na\0\r\n34567890\r\n";
    let args: [&[u8]; 3] = [b"SET", b"", b"a\0\r\n34567890"];
    assert_eq!(
        request(&args).escape_ascii().to_string(),
        wire.escape_ascii().to_string()
    );
    let mut out = b"before".to_vec();
    push(&mut out, &args);
    assert_eq!(out, [b"before", &wire[..]].concat());
}

#[test]
fn a_cursor_goes_through_replies_and_stops_where_they_end() {
    let wire = b"*3\r\n$4\r\na\r\nb\r\n:-12\r\n+OK\r\n";
    let read = |wire| {
        let mut cursor = Cursor::new(wire);
        let found = (cursor.line()?, cursor.bulk()?, cursor.digits()?);
        cursor.lines(1)?;
        Some(found)
    };
    assert_eq!(
        read(&wire[..]),
        Some((&b"*3"[..], &b"a\r\nb"[..], &b"-12"[..]))
    );
    for end in 0..wire.len() {
        assert_eq!(read(&wire[..end]), None, "{end} bytes");
    }
}

#[test]
#[should_panic(expected = "the server answered -ERR no")]
fn a_cursor_stops_at_an_error() {
    Cursor::new(b"-ERR no\r\n").line();
}
