//! Any bytes on the socket between server and module process, in either direction.

use module_api::frame::{self, Reply, Request};

/// Longest frame this reader takes.
const FRAME_BYTES: usize = 64 << 10;

/// Reads the bytes as a stream of frames, and as the body of one: what is understood is said again alike.
pub fn reply_frame(bytes: &[u8]) {
    read_body(bytes);
    let (mut stream, mut body) = (bytes, Vec::new());
    while let Ok(true) = frame::read(&mut stream, &mut body, FRAME_BYTES) {
        assert!(body.len() <= FRAME_BYTES, "a frame of {} bytes was taken", body.len());
        read_body(&body);
    }
}

fn read_body(body: &[u8]) {
    if let Ok(reply) = frame::decode::<Reply>(body) {
        let mut said = Vec::new();
        frame::encode(&mut said, &reply, body.len()).expect("it is said again in no more bytes");
        assert_eq!(frame::decode::<Reply>(&said[4..]).expect("it is understood again"), reply);
    }
    if let Ok(request) = frame::decode::<Request>(body) {
        let mut said = Vec::new();
        frame::encode(&mut said, &request, body.len()).expect("it is said again in no more bytes");
        assert_eq!(frame::decode::<Request>(&said[4..]).expect("it is understood again"), request);
    }
}
