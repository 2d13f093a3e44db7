//! The form of every IAM operation: what it is about decides who may, then it is done.

use std::future::Future;
use std::marker::PhantomData;

use claviger_api::iam::Tag;
use claviger_engine::{
    Audited, Authorized, Call, Facts, Named, Operation, OperationRow, Outcome, Question, ResourceRule, Value,
};
use claviger_policy::AccountId;

use crate::records::Tags;
use crate::{Iam, IamError};

/// What a request is about: the caller must be allowed the action on it.
#[derive(Debug)]
pub(crate) struct About {
    /// The ARN, or `*`.
    pub(crate) arn: String,
    /// How a refusal names it, where that is not the ARN.
    pub(crate) shown: Option<String>,
    /// The tags that it has.
    pub(crate) tags: Tags,
    /// The ARN of its permissions boundary.
    pub(crate) boundary: Option<String>,
}

impl About {
    /// Something without tags and boundary, or something that is not there yet.
    pub(crate) const fn arn(arn: String) -> Self {
        Self { arn, shown: None, tags: Tags::new(), boundary: None }
    }

    /// No entity in particular.
    pub(crate) fn everything() -> Vec<Self> {
        vec![Self::arn("*".to_owned())]
    }

    /// The same, named so in a refusal: `user alice`.
    pub(crate) fn shown(self, word: &str, name: &str) -> Self {
        Self { shown: Some(format!("{word} {name}")), ..self }
    }

    /// What conditions may ask about it, its boundary apart.
    pub(crate) fn facts(&self) -> Facts {
        let tags = || self.tags.iter().map(|(key, value)| (key, value));
        Facts::default().with_family("aws:ResourceTag/", tags()).with_family("iam:ResourceTag/", tags())
    }
}

/// Adds the tags that a request sets.
pub(crate) fn with_tags(facts: Facts, tags: Option<&Vec<Tag>>) -> Facts {
    let tags = || tags.into_iter().flatten();
    facts
        .with_all("aws:TagKeys", tags().map(|tag| &tag.key))
        .with_family("aws:RequestTag/", tags().map(|tag| (&tag.key, &tag.value)))
}

/// Adds the permissions boundary that an operation sets, or under which it changes what an entity may do.
pub(crate) fn with_boundary(facts: Facts, arn: Option<&String>) -> Facts {
    facts.with_some("iam:PermissionsBoundary", arn)
}

/// One operation of IAM.
pub(crate) trait IamOperation: Send + Sync + Sized + 'static {
    /// The request.
    type Request: Send + Sync;
    /// The response.
    type Response: Send;
    /// The operation's name on the wire.
    const NAME: &'static str;
    /// The IAM action.
    const ACTION: &'static str;
    /// Whether it changes nothing.
    const READ_ONLY: bool;

    /// What it is about; the caller must be allowed the action on each. What does not exist is asked about too, as if its
    /// path were `/`: AWS authorizes before it says that something is missing.
    fn about(call: &mut Call<'_>, request: &Self::Request)
    -> impl Future<Output = Result<Vec<About>, IamError>> + Send;

    /// What conditions may ask about the request, added to what they may ask about the thing itself.
    fn facts(request: &Self::Request, about: &About, facts: Facts) -> Facts {
        let _ = (request, about);
        facts
    }

    /// The work.
    fn perform(
        iam: &Iam,
        call: &mut Call<'_>,
        request: &Self::Request,
    ) -> impl Future<Output = Result<Outcome<Self::Response>, IamError>> + Send;

    /// What the audit record shows of the request.
    fn shown(request: &Self::Request) -> Value;

    /// What the audit record shows of the response.
    fn answered(response: &Self::Response) -> Value {
        let _ = response;
        Value::Null
    }
}

/// The associated items of an [`IamOperation`]: name, request and response, and whether it reads or writes.
macro_rules! operation {
    ($name:ident, $request:ident => $response:ty, $kind:ident) => {
        type Request = claviger_api::Valid<claviger_api::iam::$request>;
        type Response = $response;
        const NAME: &'static str = stringify!($name);
        const ACTION: &'static str = concat!("iam:", stringify!($name));
const READ_ONLY: bool = crate::operation::operation!(@$kind);
    };
    (@reads) => {
        true
    };
    (@writes) => {
        false
    };
}
pub(crate) use operation;

/// An IAM operation as the engine runs it.
pub(crate) struct Run<O>(PhantomData<O>);

impl<O: IamOperation> Operation for Run<O> {
    type Service = Iam;
    type Request = O::Request;
    type Response = O::Response;
    type Error = IamError;
    type Resources = Vec<About>;

    const ROW: OperationRow =
        OperationRow { name: O::NAME, event_source: "iam.amazonaws.com", read_only: O::READ_ONLY };

    async fn resolve(call: &mut Call<'_>, _: &Iam, request: &Self::Request) -> Result<Vec<About>, IamError> {
        crate::sts::demand_iam(call.caller())?;
        O::about(call, request).await
    }

    fn questions(call: &Call<'_>, about: &Vec<About>, _: &Self::Request) -> Vec<Question> {
        let own = call.caller().principal().account();
        let ask = |about: &About| Question {
            action: O::ACTION,
            resource: about.arn.clone(),
            resource_account: owner(&about.arn).unwrap_or(own),
            resource_policy: ResourceRule::NoPolicy,
            cross_account: false,
            named: Named::As(about.shown.as_ref().unwrap_or(&about.arn).clone()),
        };
        about.iter().map(ask).collect()
    }

    fn facts(_: &Call<'_>, about: &Vec<About>, request: &Self::Request, question: &Question) -> Facts {
        let asked = about.iter().find(|about| about.arn == question.resource);
        asked.map(|about| O::facts(request, about, about.facts())).unwrap_or_default()
    }

    async fn perform(
        call: &mut Call<'_>,
        iam: &Iam,
        _: &Authorized<Self>,
        request: &Self::Request,
    ) -> Result<Outcome<Self::Response>, IamError> {
        O::perform(iam, call, request).await
    }

    fn audited(
        request: &Self::Request,
        _: Option<&Vec<About>>,
        response: Option<&Self::Response>,
        audited: &mut Audited,
    ) {
        audited.request_parameters = O::shown(request);
        audited.response_elements = response.map_or(Value::Null, O::answered);
    }
}

/// The account in an ARN.
pub(crate) fn owner(arn: &str) -> Option<AccountId> {
    AccountId::parse(arn.split(':').nth(4)?)
}

/// Members of `requestParameters`; those that the request does not have are left out.
pub(crate) fn parameters(members: &[(&'static str, Option<&str>)]) -> Value {
    let mut value = Value::Null;
    for (name, text) in members {
        if let Some(text) = text {
            value = value.with(*name, Value::public_text(text));
        }
    }
    value
}
