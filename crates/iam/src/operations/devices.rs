//! Virtual MFA devices.

use std::sync::Arc;

use claviger_api::iam::{
    AssignmentStatusType, CreateVirtualMFADeviceResponse, GetMFADeviceResponse, ListMFADevicesResponse,
    ListVirtualMFADevicesResponse, MFADevice, VirtualMFADevice,
};
use claviger_engine::{Call, Facts, Fault, Outcome, Value, Writes};

use super::groups::user_detail;
use crate::arn::{self, Kind};
use crate::operation::{About, IamOperation, operation, parameters, with_tags};
use crate::page::{self, Page};
use crate::records::{Assigned, Device, Identity, device_key, identity_key};
use crate::tags::{self, Keys};
use crate::{Iam, IamError, change, find, shapes, totp};

/// Devices of one user at most.
const DEVICES_MAX: usize = 8;
/// Random bytes of a device's seed.
const SEED_BYTES: usize = 40;
/// A serial number is an ARN of at most this many characters.
const SERIAL_MAX: usize = 256;
/// How many windows of thirty seconds a code may be off when a device is enabled.
const ENABLE_WINDOWS: i64 = 2;
/// The same when it is resynchronised, which is for clocks that have drifted.
const RESYNC_WINDOWS: i64 = 40;

pub(crate) struct CreateVirtualMFADevice;

impl IamOperation for CreateVirtualMFADevice {
    operation!(CreateVirtualMFADevice, CreateVirtualMFADeviceRequest => CreateVirtualMFADeviceResponse, writes);

    async fn about(call: &mut Call<'_>, request: &Self::Request) -> Result<Vec<About>, IamError> {
        let path = arn::path_of(request.path.as_ref());
        let arn = arn::arn(call.caller().account(), "mfa", &path, &request.virtual_mfa_device_name);
        Ok(vec![About::arn(arn)])
    }

    fn facts(request: &Self::Request, _: &About, facts: Facts) -> Facts {
        with_tags(facts, request.tags.as_ref())
    }

    async fn perform(
        _: &Iam,
        call: &mut Call<'_>,
        request: &Self::Request,
    ) -> Result<Outcome<CreateVirtualMFADeviceResponse>, IamError> {
        let device = Device {
            account: call.caller().account().to_owned(),
            name: request.virtual_mfa_device_name.clone(),
            path: arn::path_of(request.path.as_ref()),
            seed: call.random_secret(SEED_BYTES)?,
            created: call.now(),
            tags: tags::fresh(request.tags.as_ref(), Keys::Exact)?,
            assigned: None,
        };
        if device.serial().len() > SERIAL_MAX {
            return Err(IamError::validation("The path and name of a device are too long for a serial number."));
        }
        let key = device_key(&device.account, &device.name);
        if call.row::<Device>(&key).await?.is_some() {
            let text = "MFADevice entity at the same path and name already exists.";
            return Err(IamError::EntityAlreadyExists(text.to_owned()));
        }
        let response = CreateVirtualMFADeviceResponse {
            virtual_mfa_device: VirtualMFADevice {
                serial_number: device.serial(),
                base32_string_seed: Some(totp::base32(&device.seed)),
                tags: tags::wire_if_any(&device.tags),
                ..VirtualMFADevice::default()
            },
        };
        let mut writes = Writes::default();
        writes.put(call, key, device)?;
        let mut tally = find::tally(call).await?;
        if tally.devices >= Kind::User.most() {
            return Err(IamError::quota("VirtualMFADevicesPerAccount", Kind::User.most()));
        }
        tally.devices = tally.devices.saturating_add(1);
        change::save_tally(call, &mut writes, tally)?;
        Ok(Outcome::with_writes(response, writes))
    }

    fn shown(request: &Self::Request) -> Value {
        let name = ("virtualMFADeviceName", Some(request.virtual_mfa_device_name.as_str()));
        parameters(&[name, ("path", request.path.as_deref())])
    }

    fn answered(response: &CreateVirtualMFADeviceResponse) -> Value {
        parameters(&[("serialNumber", Some(&response.virtual_mfa_device.serial_number))])
    }
}

/// The device that belongs to this user, with what it knows of its codes.
fn assigned<'a>(device: &'a Device, user: &Identity) -> Result<&'a Assigned, IamError> {
    let serial = device.serial();
    let missing = || {
        IamError::NoSuchEntity(format!("MFA device with serial number {serial} is not a device of user {}.", user.name))
    };
    device.assigned.as_ref().filter(|assigned| assigned.user == user.id).ok_or_else(missing)
}

pub(crate) struct EnableMFADevice;

impl IamOperation for EnableMFADevice {
    operation!(EnableMFADevice, EnableMFADeviceRequest => (), writes);

    async fn about(call: &mut Call<'_>, request: &Self::Request) -> Result<Vec<About>, IamError> {
        find::about(call, Kind::User, &request.user_name).await
    }

    async fn perform(_: &Iam, call: &mut Call<'_>, request: &Self::Request) -> Result<Outcome<()>, IamError> {
        let mut user = Identity::clone(&*find::need(call, Kind::User, &request.user_name).await?);
        let device = find::device(call, &request.serial_number).await?;
        if device.assigned.is_some() {
            return Err(IamError::EntityAlreadyExists("MFA device is already in use.".to_owned()));
        }
        if user_detail(&mut user)?.devices.len() >= DEVICES_MAX {
            return Err(IamError::quota("MFADevicesPerUser", DEVICES_MAX));
        }
        let codes = [request.authentication_code1.as_str(), request.authentication_code2.as_str()];
        let now = totp::window(call.unheld_now());
        let window = totp::consecutive(&device.seed, now, ENABLE_WINDOWS, codes);
        let window = window.ok_or(IamError::InvalidAuthenticationCode)?;
        let assigned =
            Assigned { user: user.id.clone(), enabled: call.now(), window, ahead: window.saturating_sub(now) };
        let mut writes = Writes::default();
        let key = device_key(&device.account, &device.name);
        user_detail(&mut user)?.devices.push(arn::folded(&device.name));
        writes.put(call, key, device.with(device.tags.clone(), Some(assigned)))?;
        change::save(call, &mut writes, user)?;
        let mut tally = find::tally(call).await?;
        tally.devices_in_use = tally.devices_in_use.saturating_add(1);
        change::save_tally(call, &mut writes, tally)?;
        Ok(Outcome::with_writes((), writes))
    }

    fn shown(request: &Self::Request) -> Value {
        parameters(&[("userName", Some(&request.user_name)), ("serialNumber", Some(&request.serial_number))])
    }
}

pub(crate) struct ResyncMFADevice;

impl IamOperation for ResyncMFADevice {
    operation!(ResyncMFADevice, ResyncMFADeviceRequest => (), writes);

    async fn about(call: &mut Call<'_>, request: &Self::Request) -> Result<Vec<About>, IamError> {
        find::about(call, Kind::User, &request.user_name).await
    }

    async fn perform(_: &Iam, call: &mut Call<'_>, request: &Self::Request) -> Result<Outcome<()>, IamError> {
        let user = find::need(call, Kind::User, &request.user_name).await?;
        let device = find::device(call, &request.serial_number).await?;
        let before = assigned(&device, &user)?.clone();
        let codes = [request.authentication_code1.as_str(), request.authentication_code2.as_str()];
        let now = totp::window(call.unheld_now());
        let window = totp::consecutive(&device.seed, now, RESYNC_WINDOWS, codes);
        // Codes that were used up stay so.
        let window = window.filter(|window| *window > before.window).ok_or(IamError::InvalidAuthenticationCode)?;
        let assigned = Assigned { window, ahead: window.saturating_sub(now), ..before };
        let mut writes = Writes::default();
        let key = device_key(&device.account, &device.name);
        writes.put(call, key, device.with(device.tags.clone(), Some(assigned)))?;
        Ok(Outcome::with_writes((), writes))
    }

    fn shown(request: &Self::Request) -> Value {
        parameters(&[("userName", Some(&request.user_name)), ("serialNumber", Some(&request.serial_number))])
    }
}

pub(crate) struct DeactivateMFADevice;

impl IamOperation for DeactivateMFADevice {
    operation!(DeactivateMFADevice, DeactivateMFADeviceRequest => (), writes);

    async fn about(call: &mut Call<'_>, request: &Self::Request) -> Result<Vec<About>, IamError> {
        find::about_user(call, request.user_name.as_ref()).await
    }

    async fn perform(_: &Iam, call: &mut Call<'_>, request: &Self::Request) -> Result<Outcome<()>, IamError> {
        let device = find::device(call, &request.serial_number).await?;
        let Some(name) = find::who(call, request.user_name.as_ref())? else {
            let text = "The account's root has no MFA device.".to_owned();
            return Err(IamError::NoSuchEntity(text));
        };
        let mut user = Identity::clone(&*find::need(call, Kind::User, &name).await?);
        assigned(&device, &user)?;
        let folded = arn::folded(&device.name);
        user_detail(&mut user)?.devices.retain(|device| *device != folded);
        let mut writes = Writes::default();
        let key = device_key(&device.account, &device.name);
        writes.put(call, key, device.with(device.tags.clone(), None))?;
        change::save(call, &mut writes, user)?;
        let mut tally = find::tally(call).await?;
        tally.devices_in_use = tally.devices_in_use.saturating_sub(1);
        change::save_tally(call, &mut writes, tally)?;
        Ok(Outcome::with_writes((), writes))
    }

    fn shown(request: &Self::Request) -> Value {
        parameters(&[("userName", request.user_name.as_deref()), ("serialNumber", Some(&request.serial_number))])
    }
}

pub(crate) struct DeleteVirtualMFADevice;

impl IamOperation for DeleteVirtualMFADevice {
    operation!(DeleteVirtualMFADevice, DeleteVirtualMFADeviceRequest => (), writes);

    async fn about(call: &mut Call<'_>, request: &Self::Request) -> Result<Vec<About>, IamError> {
        find::about_device(call, &request.serial_number).await
    }

    async fn perform(_: &Iam, call: &mut Call<'_>, request: &Self::Request) -> Result<Outcome<()>, IamError> {
        let device = find::device(call, &request.serial_number).await?;
        if device.assigned.is_some() {
            let text = "Cannot delete entity, must deactivate MFA device first.".to_owned();
            return Err(IamError::DeleteConflict(text));
        }
        let mut writes = Writes::default();
        writes.delete(device_key(&device.account, &device.name));
        let mut tally = find::tally(call).await?;
        tally.devices = tally.devices.saturating_sub(1);
        change::save_tally(call, &mut writes, tally)?;
        Ok(Outcome::with_writes((), writes))
    }

    fn shown(request: &Self::Request) -> Value {
        parameters(&[("serialNumber", Some(&request.serial_number))])
    }
}

/// The devices of a user.
async fn devices_of(call: &mut Call<'_>, user: &mut Identity) -> Result<Vec<Arc<Device>>, Fault> {
    let account = call.caller().account().to_owned();
    let mut devices = Vec::new();
    for name in &user_detail(user)?.devices {
        devices.push(find::demand::<Device>(call, &device_key(&account, name)).await?);
    }
    Ok(devices)
}

pub(crate) struct ListMFADevices;

impl IamOperation for ListMFADevices {
    operation!(ListMFADevices, ListMFADevicesRequest => ListMFADevicesResponse, reads);

    async fn about(call: &mut Call<'_>, request: &Self::Request) -> Result<Vec<About>, IamError> {
        find::about_user(call, request.user_name.as_ref()).await
    }

    async fn perform(
        _: &Iam,
        call: &mut Call<'_>,
        request: &Self::Request,
    ) -> Result<Outcome<ListMFADevicesResponse>, IamError> {
        let mut found = Vec::new();
        if let Some(name) = find::who(call, request.user_name.as_ref())? {
            let mut user = Identity::clone(&*find::need(call, Kind::User, &name).await?);
            for device in devices_of(call, &mut user).await? {
                let enable_date = assigned(&device, &user)?.enabled;
                found.push(MFADevice { user_name: name.clone(), serial_number: device.serial(), enable_date });
            }
        }
        let page = Page::new(request.marker.as_ref(), request.max_items);
        let cut = page.cut(found, |device| device.serial_number.clone());
        Ok(Outcome::read_only(ListMFADevicesResponse {
            is_truncated: cut.truncated(),
            mfa_devices: cut.items,
            marker: cut.marker,
        }))
    }

    fn shown(request: &Self::Request) -> Value {
        parameters(&[("userName", request.user_name.as_deref()), ("marker", request.marker.as_deref())])
    }
}

pub(crate) struct ListVirtualMFADevices;

impl IamOperation for ListVirtualMFADevices {
    operation!(ListVirtualMFADevices, ListVirtualMFADevicesRequest => ListVirtualMFADevicesResponse, reads);

    async fn about(_: &mut Call<'_>, _: &Self::Request) -> Result<Vec<About>, IamError> {
        Ok(About::everything())
    }

    async fn perform(
        _: &Iam,
        call: &mut Call<'_>,
        request: &Self::Request,
    ) -> Result<Outcome<ListVirtualMFADevicesResponse>, IamError> {
        let account = call.caller().account().to_owned();
        let wanted = |device: &Device| match request.assignment_status {
            None | Some(AssignmentStatusType::Any) => true,
            Some(AssignmentStatusType::Assigned) => device.assigned.is_some(),
            Some(AssignmentStatusType::Unassigned) => device.assigned.is_none(),
        };
        let page = Page::new(request.marker.as_ref(), request.max_items);
        let cut = page::rows::<Device>(call, &page, |name| device_key(&account, name), wanted).await?;
        let is_truncated = cut.truncated();
        let mut virtual_mfa_devices = Vec::new();
        for (_, device) in cut.items {
            let user = match &device.assigned {
                None => None,
                Some(assigned) => Some(find::demand::<Identity>(call, &identity_key(&assigned.user)).await?),
            };
            virtual_mfa_devices.push(VirtualMFADevice {
                serial_number: device.serial(),
                user: user.map(|user| shapes::user(&user)),
                enable_date: device.assigned.as_ref().map(|assigned| assigned.enabled),
                ..VirtualMFADevice::default()
            });
        }
        Ok(Outcome::read_only(ListVirtualMFADevicesResponse { virtual_mfa_devices, is_truncated, marker: cut.marker }))
    }

    fn shown(request: &Self::Request) -> Value {
        parameters(&[("marker", request.marker.as_deref())])
    }
}

pub(crate) struct GetMFADevice;

impl IamOperation for GetMFADevice {
    operation!(GetMFADevice, GetMFADeviceRequest => GetMFADeviceResponse, reads);

    async fn about(call: &mut Call<'_>, request: &Self::Request) -> Result<Vec<About>, IamError> {
        find::about_user(call, request.user_name.as_ref()).await
    }

    async fn perform(
        _: &Iam,
        call: &mut Call<'_>,
        request: &Self::Request,
    ) -> Result<Outcome<GetMFADeviceResponse>, IamError> {
        let device = find::device(call, &request.serial_number).await?;
        let missing = || {
            let serial = &request.serial_number;
            IamError::NoSuchEntity(format!("MFA device with serial number {serial} is not assigned."))
        };
        let name = find::who(call, request.user_name.as_ref())?.ok_or_else(missing)?;
        let user = find::need(call, Kind::User, &name).await?;
        let enable_date = Some(assigned(&device, &user)?.enabled);
        Ok(Outcome::read_only(GetMFADeviceResponse {
            user_name: Some(name),
            serial_number: device.serial(),
            enable_date,
            certifications: None,
        }))
    }

    fn shown(request: &Self::Request) -> Value {
        parameters(&[("userName", request.user_name.as_deref()), ("serialNumber", Some(&request.serial_number))])
    }
}
