"""What must never leave: secrets and identifiers of nobody, made here so that no file holds one."""

from __future__ import annotations

import base64

LETTERS = "q7Wz3Kx9Tb5Rm2Vn8Jd4Hs6Lp1Gy0Fc"
HEX = "7c3e9a51d0b86f24"


def mixed(count: int) -> str:
    return (LETTERS * (count // len(LETTERS) + 1))[:count]


def hexed(count: int) -> str:
    return (HEX * (count // len(HEX) + 1))[:count]


UPPER = "Q7WZ3KX2TB5RM2VN"
JWT = ".".join(
    base64.urlsafe_b64encode(part).decode().rstrip("=") for part in (b'{"alg":"HS256"}', b'{"sub":"1234567"}', b"x" * 24)
)

SECRETS = {
    "Hugging Face": f"hf_{mixed(34)}",
    "OpenAI": f"sk-proj-{mixed(40)}",
    "OpenRouter": f"sk-or-v1-{hexed(64)}",
    "Anthropic": f"sk-ant-api03-{mixed(40)}",
    "NVIDIA": f"nvapi-{mixed(40)}",
    "GitHub": f"ghp_{mixed(36)}",
    "GitHub, fine-grained": f"github_pat_{mixed(60)}",
    "GitLab": f"glpat-{mixed(20)}",
    "Slack": f"xoxb-123456789012-{mixed(24)}",
    "Slack webhook": f"https://hooks.slack.com/services/T{UPPER[:8]}/B{UPPER[:8]}/{mixed(24)}",
    "Discord webhook": f"https://discord.com/api/webhooks/123456789012345678/{mixed(60)}",
    "Discord bot": f"M{mixed(24)}.{mixed(6)}.{mixed(30)}",
    "Telegram bot": f"123456789:AA{mixed(33)}",
    "AWS": f"AKIA{UPPER}",
    "AWS, for a session": f"ASIA{UPPER}",
    "AWS secret": f"aws_secret_access_key={mixed(40)}",
    "Google API": f"AIza{mixed(35)}",
    "Google OAuth": f"ya29.{mixed(40)}",
    "Google service account": "bot-acme7@acme-7431.iam.gserviceaccount.com",
    "Azure storage": f"AccountKey={mixed(64)}==",
    "Azure client": f"{mixed(3)}8Q~{mixed(34)}",
    "npm": f"npm_{mixed(36)}",
    "PyPI": f"pypi-AgEIcHlwaS5vcmc{mixed(60)}",
    "Docker": f"dckr_pat_{mixed(27)}",
    "SendGrid": f"SG.{mixed(22)}.{mixed(43)}",
    "Stripe": f"sk_live_{mixed(24)}",
    "Twilio": f"SK{hexed(32)}",
    "Mailgun": f"key-{hexed(32)}",
    "Databricks": f"dapi{hexed(32)}",
    "Replicate": f"r8_{mixed(37)}",
    "Groq": f"gsk_{mixed(52)}",
    "Perplexity": f"pplx-{mixed(48)}",
    "xAI": f"xai-{mixed(80)}",
    "Together": f"tgp_v1_{mixed(43)}",
    "Fireworks": f"fw_{mixed(24)}",
    "Tavily": f"tvly-{mixed(32)}",
    "LangSmith": f"lsv2_pt_{hexed(32)}_{hexed(10)}",
    "Pinecone": f"pcsk_{mixed(60)}",
    "RunPod": f"rpa_{(UPPER * 3)[:40]}",
    "Vault": f"hvs.{mixed(90)}",
    "Tailscale": f"tskey-auth-{mixed(17)}-{mixed(32)}",
    "Grafana": f"glsa_{mixed(32)}_{hexed(8)}",
    "DigitalOcean": f"dop_v1_{hexed(64)}",
    "Notion": f"ntn_{mixed(46)}",
    "Atlassian": f"ATATT3{mixed(60)}",
    "Mistral, by its name": f"MISTRAL_API_KEY={mixed(32)}",
    "Weights & Biases, by its name": f"WANDB_API_KEY={hexed(40)}",
    "Cohere, by its name": f'"cohere_api_key": "{mixed(40)}"',
    "a password": "password: Wq7-Zk3.x9T",
    "a bearer": f"Authorization: Bearer {mixed(40)}",
    "a web token": JWT,
    "a PEM key": f"-----BEGIN RSA PRIVATE KEY-----\n{mixed(64)}\n{mixed(64)}\n-----END RSA PRIVATE KEY-----",
    "an OpenSSH key": f"-----BEGIN OPENSSH PRIVATE KEY-----\nb3BlbnNzaC1rZXktdjE{mixed(40)}\n-----END OPENSSH PRIVATE KEY-----",
    "a key in JSON in a string": '{"config": "{\\"headers\\": \\"{\\\\\\"x-api-key\\\\\\": \\\\\\"'
    + mixed(30)
    + '\\\\\\"}\\"}"}',
}

OWN = ("zorgblat7", "qwexander", "zorgblat7.acmenet.example", "SN4815XK77Q", "1983925012345")
"""Of a machine and its user: what nobody could know by its look."""

IDENTIFIERS = {
    "e-mail": "qwexander.vom@acmenet.example.org",
    "a home": "/home/qwexander/models/qx.gguf",
    "a Mac's home": "/Users/qwexander/Library",
    "a Windows home": "C:\\Users\\qwexander\\x",
    "root's home": "/root/.ssh/id_ed25519",
    "host": OWN[0],
    "FQDN": OWN[2],
    "private name": "zorgbox.fritz.local",
    "tailnet name": "zorgbox.tail4f3a2.ts.net",
    "IPv4": "10.77.31.45",
    "public IPv4": "93.184.77.31",
    "IPv4 with a port": "192.168.77.31:5432",
    "IPv6": "fd7a:115c:a1e0:ab12:4843:cd96:626b:4c12",
    "link-local IPv6": "fe80::42:acff:fe11:2",
    "MAC": "3c:6d:66:a1:b2:c3",
    "Windows's MAC": "3C-6D-66-A1-B2-C4",
    "Cisco's MAC": "3c6d.66a1.b2c5",
    "GPU": "GPU-7c3e9a51-d0b8-6f24-7c3e-9a51d0b86f24",
    "serial": f"serial: {OWN[3]}",
    "serial of digits": OWN[4],
    "URL with credentials": "https://qwexander:Wq7Zk3x9T@git.acmenet.example/x.git",
    "URL with a token": "postgresql://tok7Zk3x9TWq@db.acmenet.example/x",
}

ALL = SECRETS | IDENTIFIERS
"""At least forty kinds."""


def parts(planted: str) -> list[str]:
    """What of it must not be seen either: its longest piece without punctuation, unless that says nothing."""
    import re

    pieces = [piece for piece in re.split(r"[^A-Za-z0-9]+", planted) if len(piece) >= 8 and re.search(r"\d", piece)]
    return [planted, *pieces]
