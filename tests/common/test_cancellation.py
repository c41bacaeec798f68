"""An exception that ends a task is told from a failure of the code in it."""

from __future__ import annotations

import asyncio

from common.cancellation import ends_task


async def caught(error: BaseException) -> bool:
    try:
        raise error
    except BaseException as raised:
        return ends_task(raised)


async def test_error_of_the_code_in_a_task_does_not_end_it() -> None:
    errors = (ValueError(), asyncio.CancelledError(), BaseExceptionGroup("x", [asyncio.CancelledError()]))
    assert [await caught(error) for error in errors] == [False, False, False]
    assert await caught(GeneratorExit())


async def test_cancellation_ends_the_task_but_no_exception_does() -> None:
    async def cancelled() -> list[bool]:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError as error:
            return [ends_task(error), await caught(ValueError())]
        return []

    task = asyncio.create_task(cancelled())
    await asyncio.sleep(0)
    task.cancel()
    assert await task == [True, False]
