//! Twilio's API: one request's life, from the wire to the wire, in one function.

use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, to_bytes};
use axum::extract::{ConnectInfo, Request, State};
use axum::http::header::{AUTHORIZATION, CONTENT_TYPE, LOCATION, RETRY_AFTER, WWW_AUTHENTICATE};
use axum::http::{HeaderMap, HeaderValue, Method, Response, StatusCode};

use crate::clock::Moment;
use crate::create::create;
use crate::faults::RequestFault;
use crate::injector::Ordeal;
use crate::line::Line;
use crate::list::list;
use crate::media;
use crate::refusal::Refusal;
use crate::reply::Reply;
use crate::resource::{self, Wanted};
use crate::sim::{Simulator, Tenant};
use crate::stats::add_one;
use crate::validate::is_sid;

/// Longest request body.
const BODY_BYTES_MAX: usize = 1024 * 1024;

/// A request, read.
#[derive(Debug)]
struct Call {
    method: Method,
    path: String,
    query: Vec<(String, String)>,
    form: Vec<(String, String)>,
    authorization: Option<String>,
    fault: Option<String>,
    arrived_at: Moment,
}

/// What is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Operation<'a> {
    FetchAccount,
    Create,
    List,
    Fetch(&'a str),
    Update(&'a str),
    Delete(&'a str),
    ListMedia(&'a str),
    FetchMedium(&'a str, &'a str),
}

/// Answers an API request.
pub(crate) async fn answer(
    State(sim): State<Arc<Simulator>>,
    ConnectInfo(line): ConnectInfo<Line>,
    request: Request,
) -> Response<Body> {
    add_one(&sim.counters.requests);
    let call = match read(&sim, request).await {
        Ok(call) => call,
        Err(refusal) => return respond(&sim, refusal.into(), 0, Duration::ZERO),
    };
    let duration = || sim.clock.now().since(call.arrived_at);
    let (tenant, operation) = match admit(&sim, &call) {
        Ok(admitted) => admitted,
        Err(refusal) => return respond(&sim, refusal.into(), 0, duration()),
    };
    let in_flight = sim.enter(tenant);
    let creates = operation == Operation::Create;
    let ordeal = match sim.injector.draw(call.arrived_at, creates, call.fault.as_deref()) {
        Ok(ordeal) => ordeal,
        Err(name) => {
            let refusal = Refusal::bad(20001, format!("X-Sim-Fault names no fault: {name}"));
            return respond(&sim, refusal.into(), in_flight.concurrent, duration());
        }
    };
    let reply = if sim.config.concurrency_max.is_some_and(|max| in_flight.concurrent > max) {
        Some(Refusal::too_many_requests(sim.config.retry_after_s).into())
    } else {
        suffer(&sim, &ordeal, || perform(&sim, tenant, operation, &call, &ordeal))
    };
    wait(&sim, ordeal.latency + ordeal.silence).await;
    match reply {
        Some(reply) => respond(&sim, reply, in_flight.concurrent, duration()),
        None => {
            line.cut();
            Response::new(Body::empty())
        }
    }
}

async fn read(sim: &Simulator, request: Request) -> Result<Call, Refusal> {
    let (parts, body) = request.into_parts();
    let header = |headers: &HeaderMap, name| -> Option<String> {
        headers.get(name).and_then(|value: &HeaderValue| value.to_str().ok()).map(str::to_owned)
    };
    let body = to_bytes(body, BODY_BYTES_MAX).await;
    let body = body.map_err(|_| Refusal::new(413, 20413, "The request entity is too large."))?;
    let content_type = header(&parts.headers, CONTENT_TYPE.as_str()).unwrap_or_default();
    let is_form = content_type.to_ascii_lowercase().starts_with("application/x-www-form-urlencoded");
    let pairs = |bytes: &[u8]| form_urlencoded::parse(bytes).into_owned().collect();
    Ok(Call {
        query: pairs(parts.uri.query().unwrap_or_default().as_bytes()),
        form: if is_form { pairs(&body) } else { Vec::new() },
        authorization: header(&parts.headers, AUTHORIZATION.as_str()),
        fault: header(&parts.headers, "x-sim-fault"),
        path: parts.uri.path().to_owned(),
        method: parts.method,
        arrived_at: sim.clock.now(),
    })
}

/// Who asks for what: path, credentials, and what test credentials may do.
fn admit<'a>(sim: &'a Simulator, call: &'a Call) -> Result<(&'a Tenant, Operation<'a>), Refusal> {
    let not_found = || Refusal::not_found(&call.path);
    let (account_sid, operation) = route(&call.method, &call.path).ok_or_else(not_found)?;
    if !is_sid(account_sid, "AC") {
        return Err(not_found());
    }
    let tenant = sim.log_in(account_sid, call.authorization.as_deref()).ok_or_else(Refusal::unauthorized)?;
    let operation =
        operation.ok_or_else(|| Refusal::new(405, 20004, "Method not allowed on this resource"))?;
    if tenant.account.test && operation != Operation::Create {
        return Err(Refusal::new(403, 20008, "Resource not accessible with Test Account Credentials"));
    }
    Ok((tenant, operation))
}

/// Account SID and operation of a path; no operation: the method is not allowed; `None`: no such path.
fn route<'a>(method: &Method, path: &'a str) -> Option<(&'a str, Option<Operation<'a>>)> {
    let path = path.strip_prefix("/2010-04-01/Accounts/")?;
    let Some(path) = path.strip_suffix(".json") else { return medium(method, path) };
    let mut segments = path.split('/');
    let account = segments.next()?;
    let rest = (segments.next(), segments.next(), segments.next(), segments.next());
    let operation = match (rest, method.as_str()) {
        ((None, ..), "GET") => Some(Operation::FetchAccount),
        ((Some("Messages"), None, ..), "POST") => Some(Operation::Create),
        ((Some("Messages"), None, ..), "GET") => Some(Operation::List),
        ((Some("Messages"), Some(sid), None, _), "GET") => Some(Operation::Fetch(sid)),
        ((Some("Messages"), Some(sid), None, _), "POST") => Some(Operation::Update(sid)),
        ((Some("Messages"), Some(sid), None, _), "DELETE") => Some(Operation::Delete(sid)),
        ((Some("Messages"), Some(sid), Some("Media"), None), "GET") => Some(Operation::ListMedia(sid)),
        ((None, ..) | (Some("Messages"), _, None, _) | (Some("Messages"), _, Some("Media"), None), _) => None,
        _ => return None,
    };
    Some((account, operation))
}

/// The same of a medium itself, whose path has no ending.
fn medium<'a>(method: &Method, path: &'a str) -> Option<(&'a str, Option<Operation<'a>>)> {
    let segments: Vec<&str> = path.split('/').collect();
    let [account, "Messages", message, "Media", medium] = segments[..] else { return None };
    Some((account, (method == Method::GET).then_some(Operation::FetchMedium(message, medium))))
}

/// Applies the request's fault, before or after `perform`; `None`: the connection ends without an answer.
fn suffer(sim: &Simulator, ordeal: &Ordeal, perform: impl FnOnce() -> Reply) -> Option<Reply> {
    let Some(fault) = ordeal.fault else { return Some(perform()) };
    sim.counters.fault(fault.name());
    let retry_after_s = ordeal.retry_after_s;
    match fault {
        RequestFault::Error500Before => Some(Refusal::internal_error().into()),
        RequestFault::Error503Before => Some(Refusal::unavailable(retry_after_s).into()),
        RequestFault::ThrottleStorm => {
            Some(Refusal::too_many_requests(retry_after_s.or(sim.config.retry_after_s)).into())
        }
        RequestFault::Unauthorized => Some(Refusal::unauthorized().into()),
        RequestFault::Hang => None,
        RequestFault::Error500After => {
            perform();
            Some(Refusal::internal_error().into())
        }
        RequestFault::ReplyLost | RequestFault::HangAfter => {
            perform();
            None
        }
        RequestFault::MalformedJson => Some(perform().cut_short()),
    }
}

fn perform(
    sim: &Arc<Simulator>,
    tenant: &Tenant,
    operation: Operation<'_>,
    call: &Call,
    ordeal: &Ordeal,
) -> Reply {
    let now = call.arrived_at;
    let wanted = |sid| Wanted { tenant, sid, path: &call.path, now };
    match operation {
        Operation::FetchAccount => resource::account(tenant),
        Operation::Create => create(sim, tenant, &call.form, ordeal.callbacks.as_ref(), now).into(),
        Operation::List => list(sim, tenant, &call.path, &call.query, now).into(),
        Operation::Fetch(sid) => resource::fetch(sim, wanted(sid)).into(),
        Operation::Update(sid) => resource::update(sim, wanted(sid), &call.form).into(),
        Operation::Delete(sid) => resource::delete(sim, wanted(sid)).into(),
        Operation::ListMedia(sid) => resource::media_list(sim, wanted(sid)).into(),
        Operation::FetchMedium(sid, medium) => media::fetch(sim, wanted(sid), medium).into(),
    }
}

async fn wait(sim: &Simulator, duration: Duration) {
    if !duration.is_zero() {
        tokio::select! {
            () = tokio::time::sleep(duration) => {}
            () = sim.stop.cancelled() => {}
        }
    }
}

/// Puts a reply on the wire, with Twilio's headers.
fn respond(sim: &Simulator, reply: Reply, concurrent: usize, duration: Duration) -> Response<Body> {
    if let Some(code) = reply.code {
        sim.counters.refused(code);
    }
    let mut response = Response::new(Body::from(reply.body));
    *response.status_mut() = StatusCode::from_u16(reply.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let headers = response.headers_mut();
    let mut set = |name: &'static str, value: String| {
        if let Ok(value) = HeaderValue::from_str(&value) {
            headers.insert(name, value);
        }
    };
    if reply.status != 204 {
        set("content-type", "application/json;charset=utf-8".to_owned());
    }
    set("twilio-request-id", format!("RQ{}", sim.store.request_hex()));
    set("twilio-concurrent-requests", concurrent.to_string());
    set("twilio-request-duration", format!("{:.3}", duration.as_secs_f64()));
    set("x-home-region", "us1".to_owned());
    set("x-api-domain", "api.twilio.com".to_owned());
    if reply.status == 401 {
        set(WWW_AUTHENTICATE.as_str(), "Basic realm=\"Twilio API\"".to_owned());
    }
    if let Some(location) = reply.location {
        set(LOCATION.as_str(), location);
    }
    if let Some(seconds) = reply.retry_after_s {
        set(RETRY_AFTER.as_str(), seconds.to_string());
    }
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_lead_to_operations() {
        let base = "/2010-04-01/Accounts/AC1";
        for (method, path, expected) in [
            (Method::POST, "/Messages.json", Some(Some(Operation::Create))),
            (Method::GET, "/Messages.json", Some(Some(Operation::List))),
            (Method::GET, "/Messages/SM1.json", Some(Some(Operation::Fetch("SM1")))),
            (Method::POST, "/Messages/SM1.json", Some(Some(Operation::Update("SM1")))),
            (Method::DELETE, "/Messages/SM1.json", Some(Some(Operation::Delete("SM1")))),
            (Method::GET, "/Messages/SM1/Media.json", Some(Some(Operation::ListMedia("SM1")))),
            (Method::GET, ".json", Some(Some(Operation::FetchAccount))),
            (Method::PUT, "/Messages.json", Some(None)),
            (Method::DELETE, "/Messages.json", Some(None)),
            (Method::GET, "/Messages/MM1/Media/ME1", Some(Some(Operation::FetchMedium("MM1", "ME1")))),
            (Method::POST, "/Messages/MM1/Media/ME1", Some(None)),
            (Method::GET, "/Messages", None),
            (Method::GET, "/Calls.json", None),
            (Method::GET, "/Messages/SM1/Media/ME1/x.json", None),
        ] {
            let path = format!("{base}{path}");
            let found = route(&method, &path).map(|(account, operation)| {
                assert_eq!(account, "AC1", "{path}");
                operation
            });
            assert_eq!(found, expected, "{method} {path}");
        }
    }
}
