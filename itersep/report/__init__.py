"""What is shown of experiments: tables, figures, pages, model cards."""
