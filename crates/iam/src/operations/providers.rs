//! OpenID Connect providers.

use claviger_api::iam::{
    CreateOpenIDConnectProviderResponse, GetOpenIDConnectProviderResponse, ListOpenIDConnectProvidersResponse,
    OpenIDConnectProviderListEntry,
};
use claviger_engine::{Call, Facts, Outcome, Value, Writes};

use crate::operation::{About, IamOperation, operation, parameters, with_tags};
use crate::page;
use crate::records::{Provider, provider_key};
use crate::tags::{self, Keys};
use crate::{Iam, IamError, change, find};

/// Providers of one account at most.
pub(crate) const PROVIDERS_MAX: u32 = 100;
/// Client ids of one provider at most.
const CLIENTS_MAX: usize = 100;
/// Thumbprints of one provider at most.
const THUMBPRINTS_MAX: usize = 5;

/// The URL without `https://`, or why it is no provider's: no port, no query, no user, nothing but host and path.
fn host_and_path(url: &str) -> Result<&str, IamError> {
    let refused = |text: &str| Err(IamError::InvalidInput(text.to_owned()));
    let Some(rest) = url.strip_prefix("https://") else {
        return refused("Invalid Open ID Connect Provider URL");
    };
    let host = rest.split('/').next().unwrap_or_default();
    let host_sound = !host.is_empty()
        && host.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-.".contains(&byte))
        && !host.starts_with(['.', '-'])
        && !host.ends_with(['.', '-']);
    let path_sound = rest.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._~/%!$&'()+,;=@".contains(&byte));
    if host_sound && path_sound {
        Ok(rest.trim_end_matches('/'))
    } else {
        refused("Invalid Open ID Connect Provider URL")
    }
}

fn check_thumbprints(thumbprints: &[String]) -> Result<(), IamError> {
    if thumbprints.len() > THUMBPRINTS_MAX {
        return Err(IamError::InvalidInput(format!(
            "Thumbprint list must contain fewer than {THUMBPRINTS_MAX} entries."
        )));
    }
    if thumbprints.iter().all(|one| one.len() == 40 && one.bytes().all(|byte| byte.is_ascii_hexdigit())) {
        Ok(())
    } else {
        Err(IamError::InvalidInput("Thumbprint must be 40 hexadecimal digits.".to_owned()))
    }
}

fn save(call: &Call<'_>, provider: Provider) -> Result<Writes, IamError> {
    let mut writes = Writes::default();
    writes.put(call, provider_key(&provider.account, &provider.url), provider)?;
    Ok(writes)
}

pub(crate) struct CreateOpenIDConnectProvider;

impl IamOperation for CreateOpenIDConnectProvider {
    operation!(CreateOpenIDConnectProvider,
        CreateOpenIDConnectProviderRequest => CreateOpenIDConnectProviderResponse, writes);

    async fn about(call: &mut Call<'_>, request: &Self::Request) -> Result<Vec<About>, IamError> {
        let url = request.url.strip_prefix("https://").unwrap_or(&request.url);
        let url = url.trim_end_matches('/');
        Ok(vec![About::arn(format!("arn:aws:iam::{}:oidc-provider/{url}", call.caller().account()))])
    }

    fn facts(request: &Self::Request, _: &About, facts: Facts) -> Facts {
        with_tags(facts, request.tags.as_ref())
    }

    async fn perform(
        _: &Iam,
        call: &mut Call<'_>,
        request: &Self::Request,
    ) -> Result<Outcome<CreateOpenIDConnectProviderResponse>, IamError> {
        let mut provider = Provider {
            account: call.caller().account().to_owned(),
            url: host_and_path(&request.url)?.to_owned(),
            clients: Vec::new(),
            thumbprints: request.thumbprint_list.clone().unwrap_or_default(),
            created: call.now(),
            tags: tags::fresh(request.tags.as_ref(), Keys::Exact)?,
        };
        check_thumbprints(&provider.thumbprints)?;
        for client in request.client_id_list.iter().flatten() {
            if !provider.clients.contains(client) {
                provider.clients.push(client.clone());
            }
        }
        if provider.clients.len() > CLIENTS_MAX {
            return Err(IamError::quota("ClientIdsPerOpenIdConnectProvider", CLIENTS_MAX));
        }
        let key = provider_key(&provider.account, &provider.url);
        if call.row::<Provider>(&key).await?.is_some() {
            let text = format!("Provider with url {} already exists.", request.url);
            return Err(IamError::EntityAlreadyExists(text));
        }
        let mut tally = find::tally(call).await?;
        if tally.providers >= PROVIDERS_MAX {
            return Err(IamError::quota("OpenIdConnectProvidersPerAccount", PROVIDERS_MAX));
        }
        tally.providers = tally.providers.saturating_add(1);
        let response = CreateOpenIDConnectProviderResponse {
            open_id_connect_provider_arn: Some(provider.arn()),
            tags: tags::wire_if_any(&provider.tags),
        };
        let mut writes = save(call, provider)?;
        change::save_tally(call, &mut writes, tally)?;
        Ok(Outcome::with_writes(response, writes))
    }

    fn shown(request: &Self::Request) -> Value {
        let clients = request.client_id_list.iter().flatten().map(|client| Value::public_text(client));
        parameters(&[("url", Some(&request.url))]).with("clientIDList", Value::list(clients))
    }

    fn answered(response: &CreateOpenIDConnectProviderResponse) -> Value {
        parameters(&[("openIDConnectProviderArn", response.open_id_connect_provider_arn.as_deref())])
    }
}

pub(crate) struct GetOpenIDConnectProvider;

impl IamOperation for GetOpenIDConnectProvider {
    operation!(GetOpenIDConnectProvider, GetOpenIDConnectProviderRequest => GetOpenIDConnectProviderResponse, reads);

    async fn about(call: &mut Call<'_>, request: &Self::Request) -> Result<Vec<About>, IamError> {
        find::about_provider(call, &request.open_id_connect_provider_arn).await
    }

    async fn perform(
        _: &Iam,
        call: &mut Call<'_>,
        request: &Self::Request,
    ) -> Result<Outcome<GetOpenIDConnectProviderResponse>, IamError> {
        let provider = find::need_provider(call, &request.open_id_connect_provider_arn).await?;
        Ok(Outcome::read_only(GetOpenIDConnectProviderResponse {
            url: Some(provider.url.clone()),
            client_id_list: Some(provider.clients.clone()),
            thumbprint_list: Some(provider.thumbprints.clone()),
            create_date: Some(provider.created),
            tags: Some(tags::wire(&provider.tags)),
        }))
    }

    fn shown(request: &Self::Request) -> Value {
        parameters(&[("openIDConnectProviderArn", Some(&request.open_id_connect_provider_arn))])
    }
}

pub(crate) struct ListOpenIDConnectProviders;

impl IamOperation for ListOpenIDConnectProviders {
    operation!(ListOpenIDConnectProviders,
        ListOpenIDConnectProvidersRequest => ListOpenIDConnectProvidersResponse, reads);

    async fn about(_: &mut Call<'_>, _: &Self::Request) -> Result<Vec<About>, IamError> {
        Ok(About::everything())
    }

    async fn perform(
        _: &Iam,
        call: &mut Call<'_>,
        _: &Self::Request,
    ) -> Result<Outcome<ListOpenIDConnectProvidersResponse>, IamError> {
        let account = call.caller().account().to_owned();
        let found = page::all::<Provider>(call, &provider_key(&account, "")).await?;
        let entries = found.iter().map(|(_, one)| OpenIDConnectProviderListEntry { arn: Some(one.arn()) }).collect();
        Ok(Outcome::read_only(ListOpenIDConnectProvidersResponse { open_id_connect_provider_list: Some(entries) }))
    }

    fn shown(_: &Self::Request) -> Value {
        Value::Null
    }
}

pub(crate) struct UpdateOpenIDConnectProviderThumbprint;

impl IamOperation for UpdateOpenIDConnectProviderThumbprint {
    operation!(UpdateOpenIDConnectProviderThumbprint, UpdateOpenIDConnectProviderThumbprintRequest => (), writes);

    async fn about(call: &mut Call<'_>, request: &Self::Request) -> Result<Vec<About>, IamError> {
        find::about_provider(call, &request.open_id_connect_provider_arn).await
    }

    async fn perform(_: &Iam, call: &mut Call<'_>, request: &Self::Request) -> Result<Outcome<()>, IamError> {
        let provider = find::need_provider(call, &request.open_id_connect_provider_arn).await?;
        check_thumbprints(&request.thumbprint_list)?;
        let provider = Provider { thumbprints: request.thumbprint_list.clone(), ..Provider::clone(&provider) };
        Ok(Outcome::with_writes((), save(call, provider)?))
    }

    fn shown(request: &Self::Request) -> Value {
        let thumbprints = request.thumbprint_list.iter().map(|one| Value::public_text(one));
        parameters(&[("openIDConnectProviderArn", Some(&request.open_id_connect_provider_arn))])
            .with("thumbprintList", Value::list(thumbprints))
    }
}

/// Adds a client id or takes it away; either may be done twice.
async fn set_client(call: &mut Call<'_>, arn: &str, client: &str, known: bool) -> Result<Outcome<()>, IamError> {
    let mut provider = Provider::clone(&*find::need_provider(call, arn).await?);
    if provider.clients.iter().any(|one| one == client) == known {
        return Ok(Outcome::read_only(()));
    }
    if known && provider.clients.len() >= CLIENTS_MAX {
        return Err(IamError::quota("ClientIdsPerOpenIdConnectProvider", CLIENTS_MAX));
    }
    provider.clients.retain(|one| one != client);
    if known {
        provider.clients.push(client.to_owned());
    }
    Ok(Outcome::with_writes((), save(call, provider)?))
}

pub(crate) struct AddClientIDToOpenIDConnectProvider;

impl IamOperation for AddClientIDToOpenIDConnectProvider {
    operation!(AddClientIDToOpenIDConnectProvider, AddClientIDToOpenIDConnectProviderRequest => (), writes);

    async fn about(call: &mut Call<'_>, request: &Self::Request) -> Result<Vec<About>, IamError> {
        find::about_provider(call, &request.open_id_connect_provider_arn).await
    }

    async fn perform(_: &Iam, call: &mut Call<'_>, request: &Self::Request) -> Result<Outcome<()>, IamError> {
        set_client(call, &request.open_id_connect_provider_arn, &request.client_id, true).await
    }

    fn shown(request: &Self::Request) -> Value {
        let arn = ("openIDConnectProviderArn", Some(request.open_id_connect_provider_arn.as_str()));
        parameters(&[arn, ("clientID", Some(&request.client_id))])
    }
}

pub(crate) struct RemoveClientIDFromOpenIDConnectProvider;

impl IamOperation for RemoveClientIDFromOpenIDConnectProvider {
    operation!(RemoveClientIDFromOpenIDConnectProvider,
        RemoveClientIDFromOpenIDConnectProviderRequest => (), writes);

    async fn about(call: &mut Call<'_>, request: &Self::Request) -> Result<Vec<About>, IamError> {
        find::about_provider(call, &request.open_id_connect_provider_arn).await
    }

    async fn perform(_: &Iam, call: &mut Call<'_>, request: &Self::Request) -> Result<Outcome<()>, IamError> {
        set_client(call, &request.open_id_connect_provider_arn, &request.client_id, false).await
    }

    fn shown(request: &Self::Request) -> Value {
        let arn = ("openIDConnectProviderArn", Some(request.open_id_connect_provider_arn.as_str()));
        parameters(&[arn, ("clientID", Some(&request.client_id))])
    }
}

pub(crate) struct DeleteOpenIDConnectProvider;

impl IamOperation for DeleteOpenIDConnectProvider {
    operation!(DeleteOpenIDConnectProvider, DeleteOpenIDConnectProviderRequest => (), writes);

    async fn about(call: &mut Call<'_>, request: &Self::Request) -> Result<Vec<About>, IamError> {
        find::about_provider(call, &request.open_id_connect_provider_arn).await
    }

    async fn perform(_: &Iam, call: &mut Call<'_>, request: &Self::Request) -> Result<Outcome<()>, IamError> {
        let provider = find::need_provider(call, &request.open_id_connect_provider_arn).await?;
        let mut writes = Writes::default();
        writes.delete(provider_key(&provider.account, &provider.url));
        let mut tally = find::tally(call).await?;
        tally.providers = tally.providers.saturating_sub(1);
        change::save_tally(call, &mut writes, tally)?;
        Ok(Outcome::with_writes((), writes))
    }

    fn shown(request: &Self::Request) -> Value {
        parameters(&[("openIDConnectProviderArn", Some(&request.open_id_connect_provider_arn))])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_of_providers() {
        for (url, rest) in [
            ("https://a.example", "a.example"),
            ("https://a.example/id/B_1", "a.example/id/B_1"),
            ("https://a.example/", "a.example"),
        ] {
            assert_eq!(host_and_path(url), Ok(rest), "{url}");
        }
        for url in [
            "http://a.example",
            "https://",
            "https:///x",
            "https://a.example:8443",
            "https://a.example/x?y=z",
            "https://a.example/x#y",
            "https://user@a.example",
            "https://a.example/a b",
            "https://.example",
        ] {
            assert!(matches!(host_and_path(url), Err(IamError::InvalidInput(_))), "{url}");
        }
    }

    #[test]
    fn thumbprints_are_sha_1() {
        assert!(check_thumbprints(&[]).is_ok());
        assert!(check_thumbprints(&["aB".repeat(20)]).is_ok());
        assert!(check_thumbprints(&["a".repeat(41)]).is_err());
        assert!(check_thumbprints(&["g".repeat(40)]).is_err());
        assert!(check_thumbprints(&vec!["a".repeat(40); 6]).is_err());
    }
}
