"""One customer's whole story over HTTP."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal

from fastapi import APIRouter
from pydantic import BaseModel, Field

from leo_activation.api.authentication import Caller, allowed
from leo_activation.api.endpoints import ExtId, Services
from leo_activation.api.masking import mask_document
from leo_activation.api.problems import not_found
from leo_activation.api.routing import api_router, problem_responses
from leo_activation.database import Connection
from leo_activation.errors import UnknownProfileError
from leo_activation.journey import describe_step, load_journey

router: APIRouter = api_router("profiles")
MayRead = Annotated[Caller, allowed("read")]


class JourneyStep(BaseModel):
    """One thing that happened."""

    kind: Literal["profile", "event", "frozen", "chosen", "decision", "delivery", "receipt"]
    happened_at: datetime
    campaign: str | None
    label: str = Field(description="What to call the step, in Vietnamese.", examples=["Quyết định"])
    told: list[str] = Field(description="What to show of it, in Vietnamese: text, not HTML.")
    detail: dict[str, Any]


class JourneyStory(BaseModel):
    """A customer's story: the profile first, then everything in time order."""

    ext_id: str
    steps: list[JourneyStep]


@router.get(
    "/profiles/{ext_id:path}/journey",
    responses=problem_responses(404),
    summary="Tell a customer's journey",
)
async def show_journey(services: Services, caller: MayRead, ext_id: ExtId) -> JourneyStory:
    """Tell everything that is known of one customer, causes before effects; addresses masked."""

    def read(connection: Connection) -> JourneyStory:
        try:
            story = load_journey(connection, caller.tenant_id, ext_id)
        except UnknownProfileError:
            raise not_found("profile", ext_id) from None
        steps = []
        for step in story.steps:
            _, label, told = describe_step(step)
            steps.append(
                {
                    "kind": step.kind, "happened_at": step.happened_at,
                    "campaign": step.campaign_code, "label": label, "told": told,
                    "detail": dict(step.detail),
                }
            )  # fmt: skip
        # Masked as a whole: an address of one step may be repeated in the words of another.
        return JourneyStory(ext_id=ext_id, steps=mask_document(steps))

    return await services.run(read)
