//! What only a user of `claviger dev` can do: move the clock, start anew, ask for errors.

use std::path::PathBuf;
use std::sync::Arc;

use claviger_engine::{BoxFuture, Clock, InjectedError, InjectedFault};
use claviger_server::{DevClock, DevControls, DevError, DevFault, SystemClock};

use crate::dev::Recipe;
use crate::world::Face;

/// See the module.
pub(crate) struct Controls {
    pub(crate) face: Arc<Face>,
    pub(crate) clock: Arc<SystemClock>,
    pub(crate) recipe: Arc<Recipe>,
}

/// Where the clock's offset is kept under the data directory.
pub(crate) fn offset_file(data: &std::path::Path) -> PathBuf {
    data.join("dev-clock-offset")
}

impl DevControls for Controls {
    fn advance(&self, millis: i64) -> BoxFuture<'_, Result<DevClock, DevError>> {
        Box::pin(async move {
            let offset_millis = self.clock.advance(millis);
            if let Some(data) = &self.recipe.data {
                let written = std::fs::write(offset_file(data), offset_millis.to_string());
                written.map_err(|error| DevError::Failed(format!("the offset could not be kept: {error}")))?;
            }
            self.face.world().run_due().await;
            Ok(DevClock { now: self.clock.now(), offset_millis })
        })
    }

    fn reset(&self) -> BoxFuture<'_, Result<(), DevError>> {
        Box::pin(async move {
            if let Some(data) = &self.recipe.data {
                let world = self.face.world();
                // The clock first: what is forgotten includes the newest time seen, and time begins with the clock.
                let offset = self.clock.offset_millis();
                self.clock.set_offset_millis(0);
                if let Err(fault) = world.engine.danger_forget_everything().await {
                    self.clock.set_offset_millis(offset);
                    return Err(DevError::Failed(fault.to_string()));
                }
                world.engine.injected().set(Vec::new());
                let kept = std::fs::write(offset_file(data), "0");
                kept.map_err(|error| DevError::Failed(format!("the offset could not be kept: {error}")))?;
                world.forget_uses();
                let furnished = self.recipe.furnish(&world, self.clock.now()).await;
                world.follow_uses().await;
                return furnished.map_err(DevError::Failed);
            }
            self.clock.set_offset_millis(0);
            let world = self.recipe.world(Arc::clone(&self.clock)).await.map_err(DevError::Failed)?;
            self.face.replace(world);
            Ok(())
        })
    }

    fn faults(&self, faults: Vec<DevFault>) -> BoxFuture<'_, Result<(), DevError>> {
        Box::pin(async move {
            let rules: Result<Vec<_>, _> = faults.into_iter().map(rule).collect();
            self.face.world().engine.injected().set(rules?);
            Ok(())
        })
    }
}

fn rule(fault: DevFault) -> Result<InjectedFault, DevError> {
    let refused = |text: String| Err(DevError::Refused(text));
    if fault.error.is_none() && fault.delay_milliseconds.is_none() {
        return refused("a fault needs an error or a delay_milliseconds".to_owned());
    }
    let known = fault.operation == "*" || claviger_api::Operation::all().any(|known| known.name() == fault.operation);
    if !known {
        return refused(format!("there is no operation {}", fault.operation));
    }
    let error = fault.error.as_deref().map(|name| {
        InjectedError::parse(name).ok_or_else(|| DevError::Refused(format!("the error {name} cannot be injected")))
    });
    let probability = fault.probability.unwrap_or(1.0);
    if !(probability > 0.0 && probability <= 1.0) {
        return Err(DevError::Refused("probability must be above 0 and at most 1".to_owned()));
    }
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "the range was checked above")]
    let odds = (probability * f64::from(u32::MAX)) as u32;
    Ok(InjectedFault {
        operation: fault.operation,
        error: error.transpose()?,
        delay_milliseconds: fault.delay_milliseconds.unwrap_or_default(),
        count: fault.count,
        odds,
    })
}
