"""Pictures and pages: charts, spectrograms, PNG, HTML."""
