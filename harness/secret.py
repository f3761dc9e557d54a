"""Telling secrets from settings, so that no plan, result or shared recipe carries one. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator

REFERENCE = re.compile(r"\$(?:([A-Za-z_]\w*)|\{([A-Za-z_]\w*)\})")
"""A value that is nothing but `$NAME` or `${NAME}`: plans store it so, and only the server sees what it stands for."""

_NAME = re.compile(
    r"(^|[_-])((?<!bos_|eos_|pad_|unk_|per_)(?<!first_)TOKEN(_R[OW]|_READ|_WRITE)?|(API|ACCESS)?KEYS?(_ID)?"
    r"|SECRETS?|PASSWORD|PASSWD|AUTHORIZATION|CREDENTIALS?)(_?\d+)?$",
    re.IGNORECASE,
)
"""Tokens of a text are none."""
_FLAG = re.compile(r"--(?:[\w-]+[_-])?(?:api[_-]key|hf[_-]token)['\",= ]+(?!['\",= ${])\S")

_FORMATS = {
    "Hugging Face token": r"hf_[A-Za-z0-9]{20,}|api_org_[A-Za-z]{30,}",
    "Anthropic key": r"sk-ant-[A-Za-z0-9_-]{20,}",
    "key of OpenAI's kind": r"sk-(?!ant-)[A-Za-z0-9_-]{20,}",  # OpenAI, OpenRouter (sk-or-), DeepSeek, Moonshot, LiteLLM …
    "NVIDIA key": r"nvapi-[A-Za-z0-9_-]{20,}",
    "GitHub token": r"gh[pousr]_[A-Za-z0-9]{20,}|github_pat_[A-Za-z0-9_]{20,}",
    "GitLab token": r"gl(?:pat|ptt|rt|dt|ft|soat|cbt|imt|agent|ffct|oas)-[\w-]{20,}|GR1348941[\w-]{20}",
    "Slack token": r"xox[abeoprs](?:\.xox[bp])?-[A-Za-z0-9-]{10,}|xapp-\d-[A-Za-z0-9-]{10,}",
    "Slack webhook": r"hooks\.slack\.com/(?:services|workflows|triggers)/[\w/+]{15,}",
    "Discord webhook": r"discord(?:app)?\.com/api/webhooks/\d{10,}/[\w-]{20,}",
    "Teams webhook": r"[\w-]{1,64}\.webhook\.office\.com/webhookb2/[\w@/-]{20,}",
    "Discord bot token": r"[MNO][A-Za-z0-9_-]{23,25}\.[A-Za-z0-9_-]{6}\.[A-Za-z0-9_-]{27,}",
    "Telegram bot token": r"\d{8,10}:AA[A-Za-z0-9_-]{32,}",
    "AWS access key id": r"(?:AKIA|ASIA|ABIA|ACCA|A3T[A-Z0-9])[A-Z2-7]{16}",
    "AWS Bedrock key": r"ABSK[A-Za-z0-9+/]{80,}",
    "Google API key": r"AIza[\w-]{35}",
    "Google OAuth token": r"ya29\.[\w-]{20,}|GOCSPX-[\w-]{20,}",
    "Google service account": r"[\w.-]{1,64}@[\w-]{1,64}\.iam\.gserviceaccount\.com",
    "Azure key": r"(?:AccountKey|SharedAccessKey|SharedAccessSignature)=[A-Za-z0-9+/%]{30,}={0,2}|[?&]sig=[A-Za-z0-9%+/]{30,}",
    "Azure client secret": r"[A-Za-z0-9_~.]{3}\dQ~[A-Za-z0-9_~.-]{31,34}",
    "npm token": r"npm_[A-Za-z0-9]{30,}",
    "PyPI token": r"pypi-[A-Za-z0-9_-]{16,}",
    "Docker token": r"dckr_(?:pat|oat)_[\w-]{20,}",
    "SendGrid key": r"SG\.[\w-]{16,}\.[\w-]{16,}",
    "Stripe key": r"(?:sk|rk|pk)_(?:live|test|prod)_[A-Za-z0-9]{10,}|whsec_[A-Za-z0-9+/]{20,}",
    "Twilio key": r"(?:SK|AC)[0-9a-f]{32}",
    "Mailgun key": r"(?:key|pubkey)-[0-9a-f]{32}",
    "Mailchimp key": r"[0-9a-f]{32}-us\d{1,2}",
    "Brevo key": r"xkeysib-[0-9a-f]{40,}",
    "Databricks token": r"dapi[0-9a-f]{32}",
    "Replicate token": r"r8_[A-Za-z0-9]{30,}",
    "Groq key": r"gsk_[A-Za-z0-9]{30,}",
    "Perplexity key": r"pplx-[A-Za-z0-9]{30,}",
    "xAI key": r"xai-[A-Za-z0-9]{30,}",
    "Together key": r"tgp_v1_[\w-]{30,}",
    "Fireworks key": r"fw_[A-Za-z0-9]{20,}",
    "Tavily key": r"tvly-[A-Za-z0-9-]{20,}",
    "LangSmith key": r"lsv2_(?:pt|sk)_[0-9a-f]{32}_[0-9a-f]{10}",
    "Pinecone key": r"pcsk_[A-Za-z0-9_]{30,}",
    "Weights & Biases key": r"wandb_v1_[A-Za-z0-9_]{30,}",
    "Modal token": r"a[ks]-[A-Za-z0-9]{22}",
    "RunPod key": r"rpa_[A-Z0-9]{30,}\w*",
    "DigitalOcean token": r"do[oprt]_v1_[0-9a-f]{40,}",
    "Cloudflare key": r"v1\.0-[0-9a-f]{24}-[0-9a-f]{100,}",
    "Heroku key": r"HRKU-[\w-]{30,}",
    "Fly token": r"fo1_[\w-]{40,}|fm[12][ar]?_[A-Za-z0-9+/]{60,}",
    "Vault token": r"hv[sbr]\.[\w-]{24,}",
    "Terraform token": r"[A-Za-z0-9]{14}\.atlasv1\.[\w-]{40,}",
    "Tailscale key": r"tskey-(?:auth|api|client|scim|webhook)-[A-Za-z0-9-]{10,}",
    "Grafana token": r"glsa_[A-Za-z0-9]{32}_[0-9A-Fa-f]{8}|glc_[A-Za-z0-9+/]{32,}",
    "New Relic key": r"NR(?:AK|II|JS|AA)-[A-Za-z0-9-]{19,}",
    "Sentry token": r"sntry[su]_[\w+/=]{32,}",
    "Linear key": r"lin_(?:api|oauth)_[A-Za-z0-9]{30,}",
    "Notion token": r"ntn_[A-Za-z0-9]{40,}|secret_[A-Za-z0-9]{43}",
    "Atlassian token": r"ATATT3[\w=-]{30,}|ATCTT3[\w=-]{30,}",
    "Airtable token": r"pat[A-Za-z0-9]{14}\.[0-9a-f]{64}",
    "Shopify token": r"shp(?:at|ca|pa|ss)_[0-9A-Fa-f]{32}",
    "Square token": r"sq0(?:atp|csp|idp)-[\w-]{22,}|EAAA[\w-]{60}",
    "Postman key": r"PMAK-[0-9a-f]{24}-[0-9a-f]{34}",
    "PlanetScale token": r"pscale_(?:tkn|pw|oauth)_[\w.=-]{32,}",
    "Supabase key": r"sbp_[A-Za-z0-9_]{30,}|sb_secret_[\w-]{20,}",
    "Doppler token": r"dp\.(?:pt|st|ct|sa|scim|audit)\.[A-Za-z0-9.-]{40,}",
    "1Password token": r"ops_eyJ[\w+/=-]{50,}|A3-[A-Z0-9]{6}-(?:[A-Z0-9]{5,11}-){2,}[A-Z0-9]{5}\b",
    "RubyGems key": r"rubygems_[0-9a-f]{48}",
    "crates.io token": r"cio[A-Za-z0-9]{32}",
    "Artifactory key": r"AKCp[A-Za-z0-9]{60,}|cmVmd[A-Za-z0-9]{59}",
    "Alibaba key": r"LTAI[A-Za-z0-9]{20,}",
    "Yandex key": r"AQVN[\w-]{35,}|y0_[\w-]{35,}",
    "age key": r"AGE-SECRET-KEY-1[A-Z0-9]{58}",
    "JSON web token": r"ey[A-Za-z0-9_-]{15,}\.ey[A-Za-z0-9_-]{15,}(?:\.[\w-]*)?",
    "private key": r"-----BEGIN[ A-Z0-9]{0,40}PRIVATE KEY(?: BLOCK)?-----|PuTTY-User-Key-File-\d|b3BlbnNzaC1rZXktdjE[\w+/]{8,}",
}
"""Of providers who mark their tokens, by what these begin with and how long they are at least: from their own pages, and the published
rules of gitleaks (July 2026). Mistral, Cohere and others do not mark theirs: these are found by the name before them."""
_ASSIGNED = re.compile(
    r"(?<!no)(?:api[_-]?key|access[_-]?key|secret[_-]?(?:access[_-]?)?key|(?:auth|access|api|hf|refresh|bearer|session)[_-]?token|client[_-]?secret"
    r"|password|passwd|passphrase|private[_-]?key)[\\\"']*\s{0,3}(?::=|[:=])\s{0,3}[\\\"']*(?P<value>(?![<$%{*])[^\s\"'\\,;&<>{}\[\]]{6,})"
    r"|authorization[\\\"']*\s{0,3}[:=]\s{0,3}[\\\"']*(?:bearer|basic|token)\s+(?P<header>[\w.~+/=-]{6,})"
    r"|\bbearer\s+(?P<bearer>[\w.~+/=-]{16,})",
    re.IGNORECASE,
)
_GROUPS = "|".join(f"(?P<g{number}>{pattern})" for number, pattern in enumerate(_FORMATS.values()))
_VALUE = re.compile(rf"(?<![A-Za-z0-9])(?=[?&]|[\w.~-]{{8}})(?:{_GROUPS})")
"""What is looked for first only saves time."""
_KINDS = list(_FORMATS)


def in_name(name: str) -> bool:
    """Whether what stands under this name is a secret."""
    return bool(_NAME.search(name))


def in_text(text: str) -> bool:
    """By its look, or by the flag before it."""
    return bool(_VALUE.search(text) or _FLAG.search(text))


def in_variable(name: str, value: str) -> bool:
    """By the name or the value; a reference is no secret."""
    return bool(value) and not REFERENCE.fullmatch(value) and (in_name(name) or in_text(value))


def found(text: str) -> Iterator[tuple[str, str]]:
    """(kind, secret) of each that a provider marks, and of what stands behind a secret's name."""
    for match in _VALUE.finditer(text):
        yield _KINDS[int((match.lastgroup or "g0")[1:])], match[0]
    for match in _ASSIGNED.finditer(text):
        value = match["value"] or match["header"] or match["bearer"]
        if not REFERENCE.fullmatch(value):
            yield "secret by the name before it", value
