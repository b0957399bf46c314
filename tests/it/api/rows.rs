//! Rows over HTTP: filters, pages, CSV.

use super::Server;
use crate::stores::each_store;
use crate::web::client::{json, problem};
use headworks::ids::{Coordinates, DeliveryId, Digest, JobId, Timestamp};
use headworks::infra::db::Lane;
use headworks::load::{self, NewLoad, Source};
use module_api::{Finding, Place, Row};

impl Server {
    /// Loads rows (name, note, load) of a customer, as the job of a delivery.
    pub(super) async fn load(
        &self,
        customer: &str,
        delivery: DeliveryId,
        job: JobId,
        rows: &[(&str, &str, i64)],
    ) {
        let slug = |text: &str| text.parse().unwrap();
        let load = NewLoad {
            delivery,
            module: "test/report".into(),
            parser_version: "1.0.0".into(),
            job,
            profile: None,
            outcome: "ok".into(),
            coordinates: Coordinates {
                customer: slug(customer),
                category: slug("test"),
                type_: slug("report"),
                group: slug("none"),
            },
            received_at: Timestamp::now(),
            parts: vec![Source { path: "1".into(), sha256: Digest::of(b"x") }],
            findings: vec![Finding::warning("odd_value", Place::line(0, 2), "is odd")],
        };
        let row = |(name, note, load): &(&str, &str, i64)| Row {
            table: 0,
            place: Place::line(0, 1),
            report_at: None,
            report_tz_assumed: false,
            values: vec![(*name).into(), (*note).into(), (*load).into()],
        };
        let (rows, tables): (Vec<Row>, _) = (rows.iter().map(row).collect(), self.tables.clone());
        let written = self.db.write(Lane::Results, move |mut tx| {
            Box::pin(async move { load::write(&mut tx, &tables, &[(&load, &rows)]).await })
        });
        written.await.unwrap();
    }
}

#[tokio::test]
async fn rows_are_filtered_sorted_and_paged() {
    each_store(|db| async move {
        let server = Server::start(&db).await;
        let rows = [("a", "", 1), ("b", "", 2), ("c", "", 3)];
        server.load("alpha", DeliveryId::fresh(), JobId(1), &rows).await;
        let names = async |path: &str| -> Vec<String> {
            let page = server.ask(path, &server.admin).await;
            let rows = page["items"].as_array().unwrap().iter();
            rows.map(|row| row["name"].as_str().unwrap().to_owned()).collect()
        };
        assert_eq!(names("/rows/node?filter[load]=ge:2&order=name").await, ["b", "c"]);
        assert_eq!(names("/rows/node?filter%5Bload%5D=ge:2&filter[load]=lt:3").await, ["b"]);
        assert_eq!(names("/rows/node?order=-load&since=1h").await, ["c", "b", "a"]);
        assert_eq!(names("/rows/node?until=1h").await, Vec::<String>::new());
        let first = server.get("/rows/node?order=name&limit=2", &server.admin).await;
        let next = json(&first)["next"].as_str().unwrap().to_owned();
        assert_eq!(
            first.headers()["link"],
            format!("</api/1.0/rows/node?order=name&limit=2&cursor={next}>; rel=\"next\"")
        );
        assert_eq!(names(&format!("/rows/node?order=name&limit=2&cursor={next}")).await, ["c"]);
    })
    .await;
}

#[tokio::test]
async fn a_question_that_cannot_be_answered_names_what_is_wrong() {
    each_store(|db| async move {
        let server = Server::start(&db).await;
        let cases = [
            ("filter[colour]=eq:red", "filter[colour]"),
            ("filter[load]=like:1", "filter[load]"),
            ("filter[load]=eq:one", "filter[load]"),
            ("filter[note]=eq:x", "filter[note]"),
            ("order=note", "order"),
            ("order=colour", "order"),
            ("limit=1001", "limit"),
            ("limit=many", "limit"),
            ("until=31.1.2026", "until"),
            ("limit=0", "limit"),
            ("limit=1&limit=2", "limit"),
            ("cursor=zz", "cursor"),
            ("format=xml", "format"),
            ("since=once", "since"),
            ("colour=red", "colour"),
        ];
        for (query, parameter) in cases {
            let said =
                problem(&server.get(&format!("/rows/node?{query}"), &server.admin).await, 400, "malformed");
            assert_eq!(said["errors"][0]["parameter"], parameter, "{query}");
        }
        problem(&server.get("/rows/nothing", &server.admin).await, 404, "not-found");
    })
    .await;
}

#[tokio::test]
async fn csv_is_sent_where_it_is_wanted_and_defuses_formulas() {
    each_store(|db| async move {
        let server = Server::start(&db).await;
        server.load("alpha", DeliveryId::fresh(), JobId(1), &[("a", "=1+1", -1)]).await;
        let answer = server.get("/rows/node?format=csv", &server.admin).await;
        assert!(answer.headers()["content-type"].to_str().unwrap().starts_with("text/csv"));
        assert_eq!(answer.headers()["content-disposition"], "attachment; filename=\"node.csv\"");
        let text = String::from_utf8(answer.body().to_vec()).unwrap();
        let lines: Vec<_> = text.split("\r\n").collect();
        assert!(lines[0].starts_with("customer,") && lines[0].ends_with(",name,note,load"), "{text}");
        assert!(lines[1].ends_with(",a,'=1+1,-1"), "{text}");
    })
    .await;
}
