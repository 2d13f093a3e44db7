//! Services that call one another for a user: rings, and calls that meet on the same rows.

use std::sync::{Arc, OnceLock};

use claviger_api::kms::{GenerateRandomRequest, Request, Response};
use claviger_api::{Refusal, Valid};
use claviger_engine::{
    Answer, Audited, Authorized, BoxFuture, Call, CallMeta, Caller, Engine, Operation, OperationRow, Outcome, Question,
    Recorded, ServiceIdentity, Services, Writes,
};

use crate::toy::{Note, ToyError, ToyOperation, note_key};
use crate::{Kit, caller, demand_whole};

/// A service that calls itself as often as it is asked to, each time under the next of its names.
#[derive(Default)]
struct Ring(OnceLock<Vec<ServiceIdentity>>);

struct Relay;

impl Operation for Relay {
    type Service = Arc<Ring>;
    /// How many calls are to follow.
    type Request = usize;
    type Response = ();
    type Error = ToyError;
    type Resources = ();
    const ROW: OperationRow = OperationRow { name: "Relay", event_source: "toy.test", read_only: false };

    async fn resolve(_: &mut Call<'_>, _: &Arc<Ring>, _: &usize) -> Result<(), ToyError> {
        Ok(())
    }

    fn questions(call: &Call<'_>, (): &(), _: &usize) -> Vec<Question> {
        ToyOperation::questions(call, &(), &crate::Ask::Nothing)
    }

    async fn perform(
        call: &mut Call<'_>,
        ring: &Arc<Ring>,
        _: &Authorized<Self>,
        left: &usize,
    ) -> Result<Outcome<()>, ToyError> {
        let name = format!("counter-{left}");
        let row = call.row::<Note>(&note_key(&name)).await?;
        let count: u64 = row.map_or(0, |row| row.record.0.parse().unwrap());
        if let Some(next) = left.checked_sub(1) {
            let identity = ring.0.get().unwrap().get(next).unwrap();
            let number_of_bytes = Some(i32::try_from(next + 1).unwrap());
            let asked = GenerateRandomRequest { number_of_bytes, ..GenerateRandomRequest::default() };
            let request = claviger_api::Request::Kms(Request::GenerateRandom(Valid::new(asked).unwrap()));
            call.call_as(identity, None, &request).await?.map_err(|_| claviger_engine::Fault::Contention)?;
        }
        let mut writes = Writes::default();
        writes.put(call, note_key(&name), Note((count + 1).to_string()))?;
        Ok(Outcome::with_writes((), writes))
    }

    fn audited(_: &usize, _: Option<&()>, _: Option<&()>, _: &mut Audited) {}
}

impl Services for Wired {
    fn call<'a>(
        &'a self,
        engine: &'a Engine,
        caller: &'a Caller,
        meta: &'a CallMeta,
        request: &'a claviger_api::Request,
    ) -> BoxFuture<'a, Result<Recorded<Answer<claviger_api::Response>>, Refusal>> {
        Box::pin(async move {
            let claviger_api::Request::Kms(Request::GenerateRandom(asked)) = request else { panic!("not asked") };
            let left = usize::try_from(asked.number_of_bytes.unwrap() - 1).unwrap();
            let answer = engine.call::<Relay>(&self.0, caller, meta, &left).await?;
            Ok(answer.map(|answer| answer.map(|()| claviger_api::Response::Kms(Response::CreateAlias))))
        })
    }
}

struct Wired(Arc<Ring>);

fn ring(engine: &Engine) -> Arc<Ring> {
    let ring = Arc::new(Ring::default());
    let register = |number: usize| {
        let services = Arc::new(Wired(Arc::clone(&ring)));
        engine.register(&format!("service-{number}.amazonaws.com"), services).unwrap()
    };
    let identities: Vec<_> = (0..8).map(register).collect();
    assert!(ring.0.set(identities).is_ok());
    ring
}

async fn relay(engine: &Engine, ring: &Arc<Ring>, left: usize) -> bool {
    let caller = caller(engine).await;
    engine.call::<Relay>(ring, &caller, &CallMeta::system(), &left).await.unwrap().into_inner().is_ok()
}

#[tokio::test]
async fn four_services_may_stand_before_a_call_and_no_more() {
    let kit = Kit::new();
    let engine = kit.open().await;
    let ring = ring(&engine);
    assert!(relay(&engine, &ring, 4).await);
    assert!(!relay(&engine, &ring, 5).await);
    engine.sync_audit().await.unwrap();
    let lines = kit.lines();
    let of = |text: &str| lines.iter().filter(|line| line.contains(text)).count();
    // Five calls, then five of six, of which the last found too many before it.
    assert_eq!(of("\"eventName\":\"Relay\""), 10);
    assert_eq!(of("invokedBy"), 8);
    assert_eq!(of("innerRequestIDs"), 8);
    assert!(!lines.iter().any(|line| line.contains("\"invokedBy\":\"service-5.amazonaws.com\"")));
    assert_eq!(kit.get(&engine, "counter-0").await, Some("1".to_owned()));
}

/// A call that has waited for its turn makes its inner calls without waiting for itself.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn contended_calls_with_inner_calls_get_through() {
    let kit = Arc::new(Kit::new());
    let engine = kit.open().await;
    let ring = ring(&engine);
    let tasks: Vec<_> = (0..6)
        .map(|_| {
            let (engine, ring) = (Arc::clone(&engine), Arc::clone(&ring));
            tokio::spawn(async move {
                let mut done = 0;
                for _ in 0..10 {
                    done += u64::from(relay(&engine, &ring, 2).await);
                }
                done
            })
        })
        .collect();
    let mut done = 0;
    for task in tasks {
        done += tokio::time::timeout(std::time::Duration::from_secs(60), task).await.unwrap().unwrap();
    }
    assert!(done >= 30, "most calls get through: {done}");
    assert_eq!(kit.get(&engine, "counter-2").await, Some(done.to_string()));
    // Runs that lost their race have made their inner calls too.
    let inner: u64 = kit.get(&engine, "counter-0").await.unwrap().parse().unwrap();
    assert!(inner >= done, "{inner} of {done}");
    demand_whole(&engine).await;
}
