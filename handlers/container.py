"""The services, created and closed together, independent of the dialects that use them."""

from dataclasses import dataclass, field, replace
from typing import Final

from handlers.services.assistant import Assistant
from handlers.services.consultations import Consultations
from handlers.services.model import LLMClient
from handlers.services.notes import Notes
from handlers.services.offline import OfflineModel, OfflineTerminology
from handlers.services.passwords import Passwords
from handlers.services.prompts import Prompts
from handlers.services.summaries import Summaries
from handlers.services.terminology import Access, Terminology
from handlers.services.token_blocklist import SWEEP_INTERVAL, TokenBlocklist
from handlers.services.transcripts import Transcripts
from handlers.services.users import Users
from handlers.settings import Settings
from handlers.storage import counters
from handlers.storage.circuit_breaker import BreakerTimings
from handlers.storage.indexes import INDEXES
from handlers.storage.store import Store
from handlers.storage.transaction_reaper import Reaper


@dataclass(frozen=True)
class ServiceTimings:
    """Timeouts and intervals of the services, in seconds.

    `database_timeout`: per MongoDB operation; the driver may take half a second longer to detect it.
    `sweep_interval`: between two sweeps for expired tokens. `breaker`: those of the database's circuit breaker.
    """

    database_timeout: float = 2.0
    sweep_interval: float = SWEEP_INTERVAL
    breaker: BreakerTimings = field(default_factory=BreakerTimings)


TIMINGS: Final = ServiceTimings()


@dataclass(frozen=True)
class Services:
    """The product's services and their resources."""

    store: Store
    passwords: Passwords
    users: Users
    token_blocklist: TokenBlocklist
    model: LLMClient | OfflineModel
    terminology: Terminology | OfflineTerminology
    assistant: Assistant
    summaries: Summaries
    consultations: Consultations
    transcripts: Transcripts
    notes: Notes
    prompts: Prompts

    async def close(self) -> None:
        """Close all connections and threads."""
        await self.token_blocklist.close()
        await self.terminology.close()
        await self.model.close()
        await self.store.close()
        self.passwords.close()


def create_services(settings: Settings, timings: ServiceTimings = TIMINGS, *, reaper: Reaper | None = None) -> Services:
    """Create the services and start their background tasks; needs a running event loop."""
    store = open_store(settings, timings, reaper)
    passwords = Passwords()
    token_blocklist = TokenBlocklist(
        store.blacktokens, lifetime_of(settings), store.now, sweep_interval=timings.sweep_interval
    )
    model = open_model(settings)
    assistant = Assistant(model, settings.model_instructions)
    store.start({**INDEXES, **counters.INDEXES} if settings.rate_limits_shared else INDEXES)
    token_blocklist.start()
    return Services(
        store=store,
        passwords=passwords,
        users=Users(store.users, passwords),
        token_blocklist=token_blocklist,
        model=model,
        terminology=Terminology.open(terminology_access(settings), deadline=settings.codes_deadline),
        assistant=assistant,
        summaries=Summaries(store.transcripts, assistant),
        consultations=Consultations(store),
        transcripts=Transcripts(store.transcripts),
        notes=Notes(store),
        prompts=Prompts(store.prompts),
    )


def open_store(settings: Settings, timings: ServiceTimings, reaper: Reaper | None) -> Store:
    """Return the store of the settings' database."""
    return Store(
        settings.mongodb_url,
        settings.database_name,
        timeout=timings.database_timeout,
        driver=settings.mongodb_driver,
        reaper=reaper,
        breaker_timings=timings.breaker,
    )


def open_model(settings: Settings) -> LLMClient:
    """Return the client of the language model."""
    key = settings.openai_api_key.get_secret_value()
    return LLMClient.open(key, settings.openai_base_url, deadline=settings.model_deadline)


def offline_services(services: Services, settings: Settings) -> Services:
    """Return the services with the model and the terminology server replaced by offline ones."""
    model = OfflineModel(settings.model_instructions)
    assistant = Assistant(model, settings.model_instructions)
    return replace(
        services,
        model=model,
        terminology=OfflineTerminology(),
        assistant=assistant,
        summaries=Summaries(services.store.transcripts, assistant),
    )


def lifetime_of(settings: Settings) -> int:
    """Return a login's lifetime in seconds."""
    return settings.access_token_expire_minutes * 60


def terminology_access(settings: Settings) -> Access:
    """Return the terminology server's URLs and credentials."""
    return Access(
        auth_url=settings.nhs_auth_url,
        api_url=settings.nhs_api_url,
        client_id=settings.nhs_client_id,
        client_secret=settings.nhs_client_secret.get_secret_value(),
    )
