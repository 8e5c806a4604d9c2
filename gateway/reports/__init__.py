"""Reports (资金报表): one model of a table, and its forms as xlsx, PDF, HTML and CSV in Chinese and English."""
