"""A client of a served page: it uploads, asks, and gets Results or sentences."""

from __future__ import annotations

import json
import secrets
from typing import Any

import httpx

FILE = {"meta": {"_type": "gradio.FileData"}}
PATIENCE = 120  # seconds


class Refused(Exception):
    """What the page answered in place of a result, and the status of a request that it refused."""

    def __init__(self, text: str, status: int = 200) -> None:
        super().__init__(text)
        self.status = status


class Client:
    """One visitor of the page at an address; several threads may share it."""

    def __init__(self, page: str) -> None:
        # no certificate to verify: reading those that there are takes longer than an answer
        self.http = httpx.Client(base_url=page, trust_env=False, verify=False, timeout=PATIENCE)
        named = self.http.get("gradio_api/info").json()["named_endpoints"]
        self.usual = {  # endpoint -> label of each value -> what it is where nobody says another
            name.strip("/"): {p["label"]: p.get("parameter_default") for p in api["parameters"]}
            for name, api in named.items()
        }

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *error: object) -> None:
        self.http.close()

    def upload(self, content: bytes, name: str = "own.png") -> dict[str, Any]:
        """A file as a value of a request."""
        answer = self.http.post("gradio_api/upload", files={"files": (name, content)})
        if answer.status_code != httpx.codes.OK:
            raise Refused(answer.text, answer.status_code)
        return {"path": answer.json()[0], "orig_name": name, **FILE}

    def image(self, content: bytes, name: str = "own.png", **values: Any) -> dict[str, Any]:
        """The Result of a picture. values: by label, with _ for spaces."""
        return self.ask("predict_image", Image=self.upload(content, name), **values)

    def text(self, text: Any, **values: Any) -> dict[str, Any]:
        """The Result of a sentence."""
        return self.ask("predict_text", Sentence=text, **values)

    def ask(self, endpoint: str, **values: Any) -> dict[str, Any]:
        """Raises Refused with the page's sentence where there is no Result."""
        named = {label.replace("_", " "): value for label, value in values.items()}
        usual = self.usual[endpoint]
        assert named.keys() <= usual.keys(), (named.keys(), usual.keys())
        body = json.dumps({"data": [*(usual | named).values()]})  # NaN and halves of letters too
        kind = {"Content-Type": "application/json"}
        address = f"gradio_api/call/{endpoint}"
        asked = self.http.post(address, content=body, headers=kind)
        if asked.status_code != httpx.codes.OK:
            raise Refused(asked.json()["detail"], asked.status_code)
        lines = self.http.get(f"{address}/{asked.json()['event_id']}").text.splitlines()
        end, data = lines[-3:-1] if not lines[-1] else lines[-2:]
        told = json.loads(data.removeprefix("data: "))
        if end != "event: complete":
            raise Refused(str(told.get("error") if isinstance(told, dict) else told))
        return dict(told[0])

    def fire(self, part: str, kind: str, **values: Any) -> dict[str, Any]:
        """What an event of the page sets, by the elem_id of its parts. part, values: by elem_id,
        with _ for -; other values are those that the page opens with."""
        config = self.http.get("config").json()
        ids = {c["id"]: c["props"].get("elem_id") or "" for c in config["components"]}
        usual = {c["id"]: c["props"].get("value") for c in config["components"]}
        named = {name.replace("_", "-"): value for name, value in values.items()}
        event = next(
            d
            for d in config["dependencies"]
            if any(ids.get(i) == part and k == kind for i, k in d["targets"])
        )
        data = [named.get(ids[i], usual[i]) for i in event["inputs"]]
        session = secrets.token_hex(6)
        body = {"data": data, "fn_index": event["id"], "session_hash": session}
        asked = self.http.post("gradio_api/queue/join", json=body)
        if asked.status_code != httpx.codes.OK:
            raise Refused(json.dumps(asked.json()["detail"]), asked.status_code)
        address = f"gradio_api/queue/data?session_hash={session}"
        with self.http.stream("GET", address) as lines:
            for line in lines.iter_lines():
                told = json.loads(line.removeprefix("data: ")) if line else {}
                if told.get("msg") == "process_completed":
                    break
        if not told["success"]:
            raise Refused(str(told["output"].get("error")))
        return {ids[i]: v for i, v in zip(event["outputs"], told["output"]["data"], strict=True)}
