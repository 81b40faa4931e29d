from dataclasses import replace

from fake_server import TRIAL

from noisetune.tracking.about import About, DataSet, trial_note, trial_tags
from noisetune.tracking.messages import started_message
from noisetune.tracking.run_names import Words


def test_replicates_are_grouped_by_condition_and_told_apart_by_number_and_seed() -> None:
    again = replace(TRIAL, kind="replicate", number=7, config={"replicate": 8})
    alike = {"noise.rate": "0.4"}
    assert trial_tags(again) == alike | {"noisetune.replicate": "7", "noisetune.seed": "8"}
    assert trial_tags(TRIAL) == alike | {"noisetune.seed": "0"}


def test_the_description_of_a_trial_has_its_condition_and_its_parameters() -> None:
    note = trial_note(TRIAL)
    assert note.startswith("Condition `noise.rate=0.4`, search trial 0.\n\n| parameter | value |\n")
    assert note.endswith("\n| `finetune.lr` | `0.01` |")
    assert trial_note(replace(TRIAL, parameters={})).endswith("Nothing is searched.")


def test_what_the_driver_knows_stands_in_the_message_of_each_trial() -> None:
    data = DataSet("digits", "abc", {"name": "digits"}, {"train": 60})
    known = About({TRIAL.condition: Words("r0.4")}, {"mlflow.user": "me"}, lambda config: [data])
    told = started_message(TRIAL, about=known)
    assert (told["name"], told["tags"]["mlflow.user"]) == ("r0.4 t0", "me")
    assert told["datasets"] == [data.to_json()]
    # An unknown condition, as of a message that was made without a driver.
    assert "name" not in started_message(replace(TRIAL, condition="other"), about=known)
