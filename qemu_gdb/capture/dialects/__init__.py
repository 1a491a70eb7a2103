"""The spellings that each debugger, sanitizer and crash reporter gives a stack, a module per family."""
