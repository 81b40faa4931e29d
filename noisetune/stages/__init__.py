"""The stages of a trial: pretrain, finetune, detect."""
