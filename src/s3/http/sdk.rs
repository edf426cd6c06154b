//! The `HttpClient` by which the SDK's own requests, which are for credentials, use the same pool of connections.

use std::sync::Arc;
use std::sync::atomic::{AtomicU16, Ordering::Relaxed};
use std::time::Duration;

use aws_smithy_runtime_api::client::http::{
    HttpClient, HttpConnector, HttpConnectorFuture, HttpConnectorSettings, SharedHttpConnector,
};
use aws_smithy_runtime_api::client::orchestrator::HttpRequest;
use aws_smithy_runtime_api::client::result::ConnectorError;
use aws_smithy_runtime_api::client::runtime_components::RuntimeComponents;
use aws_smithy_types::body::SdkBody;
use bytes::Bytes;
use http_body_util::Full;

use super::pool::{ConnectProblem, Pool, TransportError};
use crate::s3::body;

/// The SDK's client.
#[derive(Clone)]
pub(crate) struct SdkClient {
    pub pool: Pool,
    /// The longest wait for a reply's head, unless the SDK sets one, and for its body.
    pub timeout: Duration,
    /// The status of the last reply, which the SDK's errors do not always hold; 0 for none.
    pub last_status: Arc<AtomicU16>,
}

impl std::fmt::Debug for SdkClient {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("SdkClient")
    }
}

impl HttpClient for SdkClient {
    fn http_connector(
        &self,
        settings: &HttpConnectorSettings,
        _: &RuntimeComponents,
    ) -> SharedHttpConnector {
        SharedHttpConnector::new(SdkConnector {
            client: self.clone(),
            head_timeout: settings.read_timeout().unwrap_or(self.timeout),
        })
    }
}

#[derive(Debug)]
struct SdkConnector {
    client: SdkClient,
    /// The longest wait from the request to the reply's head.
    head_timeout: Duration,
}

impl HttpConnector for SdkConnector {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let (client, head_timeout) = (self.client.clone(), self.head_timeout);
        HttpConnectorFuture::new(async move {
            let request = request
                .try_into_http1x()
                .map_err(|error| ConnectorError::user(error.into()))?;
            // The bodies of requests for credentials are in memory.
            let request = request
                .map(|body| Full::new(Bytes::copy_from_slice(body.bytes().unwrap_or_default())));
            client.last_status.store(0, Relaxed);
            let reply = client
                .pool
                .send(request, head_timeout)
                .await
                .map_err(connector_error)?;
            let (head, body) = reply.into_parts();
            client.last_status.store(head.status.as_u16(), Relaxed);
            let bytes = body::read_bounded(body, client.timeout)
                .await
                .map_err(|error| ConnectorError::io(error.into()))?;
            http::Response::from_parts(head, SdkBody::from(bytes))
                .try_into()
                .map_err(|error| ConnectorError::other(Box::new(error), None))
        })
    }
}

fn connector_error(error: TransportError) -> ConnectorError {
    let is_timeout = match &error {
        TransportError::AnswerTimeout(_) => true,
        TransportError::Connect(failure) => failure.kind == ConnectProblem::Timeout,
        _ => false,
    };
    if is_timeout {
        ConnectorError::timeout(error.into())
    } else {
        ConnectorError::io(error.into())
    }
}
