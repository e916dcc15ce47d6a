//! Hugging Face `BitNetForCausalLM` folders, memory-mapped and checked.
