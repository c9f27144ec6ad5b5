"""Settings of the SMS providers: which are refused, and that every provider is known everywhere."""

from __future__ import annotations

import pytest

from filterd import metrics
from filterd.edges.webhooks.providers import PROVIDERS, adapters_of
from filterd.errors import ConfigError
from filterd.setting_types import Section
from filterd.sms_settings import SmsSettings
from tests.filterd.webhook_calls import (
    DATA,
    the_adapter,
)


@pytest.mark.parametrize(
    ("provider", "changes"),
    [
        ("telnyx", {"public_key": "AAAA"}),
        ("telnyx", {"public_key": "%"}),
        ("generic", {"secret": "whsec_AAAA"}),
        ("generic", {"secret": "whsec_é"}),
        ("bird", {"signing_key": "whsec_AAAA"}),
        ("sns", {"topic_arns": ("arn:aws:sns:eu-west-1:123456789012:a b",)}),
        ("sns", {"topic_arns": ("arn:aws:sns:evil.example/:123456789012:a",)}),
        ("twilio", {"deliver_url": "ftp://customer.example.net/in"}),
        ("plivo", {"deliver_url": "customer.example.net/in"}),
        ("vonage", {"deliver_url": "https:///in"}),
        ("vonage", {"deliver_url": "https://a.example/in\r\nx: y"}),
        ("generic", {"deliver_url": "https://[::1/in"}),
    ],
)
def test_adapters_of_when_a_key_or_url_cannot_be_used_then_the_setting_is_named(
    provider: str, changes: dict[str, object]
) -> None:
    with pytest.raises(ConfigError, match=f"sms.{provider}."):
        the_adapter(provider, **changes)


def test_providers_when_one_is_added_then_settings_metrics_and_documents_know_it_too() -> None:
    names = [name for name, value in SmsSettings() if isinstance(value, Section)]
    document = (DATA.parents[2] / "docs" / "webhooks.md").read_text(encoding="utf-8")

    assert sorted(PROVIDERS) == sorted(names) == sorted(metrics.PROVIDERS)
    assert [name for name in names if f"`/webhooks/{name}`" not in document] == []


def test_adapters_of_when_nothing_is_set_then_every_provider_is_off() -> None:
    assert not adapters_of(SmsSettings())
