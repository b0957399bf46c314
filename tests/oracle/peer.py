"""Reads every mail of a folder with Python's `email` and prints what it saw, as JSON by file name."""
import email
import email.policy
import hashlib
import json
import os
import sys


def subject(message):
    try:
        return str(message["subject"] or "")
    except Exception:
        return ""


def text_of(part, data):
    try:
        return data.decode(part.get_content_charset("us-ascii"), "replace")
    except (LookupError, UnicodeError):
        return data.decode("utf-8", "replace")


def name_of(part):
    try:
        return part.get_filename()
    except Exception:
        return None


def read(data):
    message = email.message_from_bytes(data, policy=email.policy.default)
    texts, files = [], []
    for part in message.walk():
        if part.is_multipart():
            continue
        body = part.get_payload(decode=True) or b""
        name = name_of(part)
        is_text = part.get_content_maintype() == "text"
        if is_text:
            texts.append(text_of(part, body))
        if not is_text or name is not None:
            files.append([name or "", hashlib.sha256(body).hexdigest()])
    text = " ".join(" ".join(texts).split())
    return {"subject": subject(message), "text": text, "files": files}


folder = sys.argv[1]
readings = {}
for file in os.listdir(folder):
    with open(os.path.join(folder, file), "rb") as opened:
        data = opened.read()
    try:
        readings[file] = read(data)
    except Exception:
        readings[file] = {"subject": "", "text": "", "files": []}
sys.stdout.write(json.dumps(readings))
